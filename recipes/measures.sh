#!/usr/bin/env bash
# What each measure does for a map: a student of flips and turns alone, then three epochs more with one measure at a time.
# Usage: recipes/measures.sh TRAINING_CHIPS VALIDATION_CHIPS SCENE OUTPUT; the teacher is that of runs/eurosat-rgb-start.
# What is there already is not made again. Results: docs/experiments.md.
set -euo pipefail
chips=$1 validation=$2 scene=$3 out=$4

plain=(augmentation.share=0 augmentation.zoom=0 augmentation.water_share=0 teacher.from_run=runs/eurosat-rgb-start)
alone=(augmentation.share=0.7 augmentation.{gain,band_gain,offset,gamma,haze,noise,blur_px}=0)
mixed=(augmentation.mix_share=0.6)
whole=("${mixed[@]}" 'augmentation.unmixed_classes=["Highway", "River"]')
woods=("${whole[@]}" augmentation.mix_focus=0.2 'augmentation.strip_classes=["Forest"]')

student() { # NAME CHANGE...: train, export and judge one student
  local name=$1 run=$out/$1 changes=()
  shift
  for change in "$@"; do changes+=(--set "$change"); done
  if [ ! -f "$run/$name-fp32.onnx" ]; then
    local resume=()
    if [ -f "$run/run.json" ]; then resume=(--resume); fi
    geokd train "$chips" --validation "$validation" -o "$run" --recipe recipes/eurosat-rgb-start.toml \
      --set "name=$name" "${changes[@]}" "${resume[@]}"
    geokd export "$run" --overwrite
  fi
  if ! compgen -G "$run/map/*.json" > /dev/null; then
    geokd robustness "$scene" -m "$run/$name-fp32.onnx" -o "$run/map" --labels sample_data/labels.gpkg \
      --labels sample_data/labels_around.gpkg --field eurosat --group-field land_use --shift haze --shift "gain 0.8" \
      --shift "surface reflectance (L2A-like)" --shift "pixels of twice the side"
  fi
}

measure() { # NAME CHANGE...: start from the student of flips and turns
  local name=$1
  shift
  student "$name" "${plain[@]}" "student.initial_weights=$out/flips/flips-fp32.onnx" student.epochs=3 \
    student.learning_rate=8e-4 student.ema_decay=0.99 "$@"
}

student flips "${plain[@]}" student.epochs=6
measure nothing
measure wind-sea augmentation.water_share=0.6
measure mixed "${mixed[@]}"
measure mixed-but-lines "${whole[@]}"
measure mixed-with-woods "${woods[@]}"
measure contrast "${alone[@]}" augmentation.contrast=0.5
measure radiometry augmentation.share=0.7
measure together "${woods[@]}" augmentation.{share=0.8,zoom=0.2,water_share=0.8,path_radiance=50,contrast=0.5} \
  'loss.teacher_views="mean"'
measure no-teacher loss.kl=0 loss.cosine=0
measure air-light "${alone[@]}" augmentation.path_radiance=50
measure mean-of-views 'loss.teacher_views="mean"'
measure zoom augmentation.zoom=0.25
measure stem-stride-1 student.stem_stride=1
