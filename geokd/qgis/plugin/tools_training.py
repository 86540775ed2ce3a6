"""Tools that train models. No QGIS in here."""

from __future__ import annotations

from dataclasses import replace

from .parameters import (
    AOI,
    AS_JSON,
    BANDS,
    BIDX,
    EXTENT,
    FOLDER,
    LABELS,
    MASK,
    NODATA,
    OUTPUT,
    OVERWRITE,
    PRODUCT,
    SCENE,
    STRIDE,
    Output,
    P,
    Tool,
)

TILE = Tool(
    "tile",
    "Cut labelled chips",
    "Training",
    (
        SCENE,
        PRODUCT,
        replace(LABELS, kind="vector", label="Labels (polygons, or cells of a review or sample)"),
        P("FIELD", "field", "Field of the class (polygons)", "--field", of="LABELS"),
        P("PATCH", "integer", "Side of a chip in pixels", "--patch", limits=(1,)),
        replace(STRIDE, label="Distance between chips in pixels", advanced=False),
        P("MIN_COVER", "number", "Share of a chip that one class covers", "--min-cover", 0.6, limits=(0.5, 1)),
        AOI,
        replace(EXTENT, label="Extent to cut"),
        MASK,
        BANDS,
        BIDX,
        NODATA,
        OVERWRITE,
        replace(OUTPUT, label="Folder for the chips"),
    ),
    (Output("CHIPS", "number", "Chips"), replace(FOLDER, label="Folder of the chips")),
    ("SCENE", "PRODUCT"),
    one_of=("SCENE", "PRODUCT", "BANDS"),
    tags="training data,patches",
)
TRAIN = Tool(
    "train",
    "Train a model",
    "Training",
    (
        P(
            "CHIPS",
            "file",
            "Chips (folder or .zip with one sub-folder for each class), or table of labelled scenes",
            optional=False,
        ),
        P("INIT", "file", "Model to train further (name or .onnx file)", "--init", of="Models (*.onnx)"),
        P("RECIPE", "file", "Recipe (TOML)", "--recipe", of="Recipes (*.toml)"),
        P("SET", "lines", "Changes of the recipe, separated by commas (such as student.epochs=5)", "--set"),
        P("VALIDATION", "file", "Chips for validation", "--validation"),
        P(
            "UNLABELLED",
            "files",
            "Scenes on which the answers of the model are preserved",
            "--unlabelled",
            advanced=True,
        ),
        P("RESUME", "flag", "Continue the run in the folder", "--resume", default=False, advanced=True),
        replace(OUTPUT, label="Folder of the run"),
    ),
    (Output("MODEL", "file", "Model (int8)"), Output("MODEL_FP32", "file", "Model (fp32)"), FOLDER),
    ("CHIPS",),
    always=AS_JSON,
    tags="distillation,deep learning",
    help="Train a model on labelled chips or scenes by distillation, and write it as bundles for mapping.\n\nA teacher"
    " is trained first, its answers are stored, and a small student is trained on labels and answers. A table (.toml or"
    " .csv) lists scenes with rasters or polygons that label their pixels; it gives a student that classifies"
    " every pixel, and its recipe must name the classes.\n\nA model to train further learns from chips cut around"
    " the cells of a review. Training needs PyTorch in geokd's environment.",
)

TRAINING = (TILE, TRAIN)
