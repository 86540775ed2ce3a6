"""Measurements, one command each; figures are ratios of times taken in one run. The tests do not run them."""
