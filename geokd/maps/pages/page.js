
// Without this, scene and map stand side by side, as they do in print.
for (const pair of document.querySelectorAll(".compare")) {
  const slider = pair.querySelector("input");
  const cut = () => pair.style.setProperty("--cut", slider.value + "%");
  slider.hidden = false;
  pair.classList.add("layered");
  slider.addEventListener("input", cut);
  cut();
}
