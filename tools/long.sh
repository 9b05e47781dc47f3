#!/usr/bin/env bash
# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
#
# Runs the slow groups named as arguments, or all of them: `bash tools/long.sh kill fuzz`.
# VENV is the environment that runs pytest; a group with a file envs/GROUP.txt gets a side
# environment .venv-GROUP, which its tests reach as a subprocess; envs/GROUP.setup.py, if there is
# one, is run by its python after the installation. REDUCED=1: the short form.
set -euo pipefail

all=(kill fuzz aot browser ray vllm docs)
groups=("$@")
[[ ${#groups[@]} -gt 0 ]] || groups=("${all[@]}")
python="${VENV:-.venv}/bin/python"
flags=()
[[ -z "${REDUCED:-}" ]] || flags+=(--reduced --timeout 1200)
[[ -z "${CI:-}" ]] || flags+=(--quiet)
# These wait for processes of their own more than they compute.
two="-n 2 --dist loadfile --max-worker-restart 0"
declare -A beside=([kill]=$two [browser]=$two [docs]=$two)

make_side_environment() {
  local file="envs/$1.txt" setup="envs/$1.setup.py" venv=".venv-$1"
  [[ -f "$file" ]] || return 0
  local sources=("$file") stamp
  [[ ! -f "$setup" ]] || sources+=("$setup")
  stamp="$venv/installed-$(cat "${sources[@]}" | cksum | cut -d ' ' -f 1)"
  [[ -e "$stamp" ]] && return 0
  echo "long: $1: installing $venv"
  "$python" -m venv --clear "$venv"
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check -r "$file"
  [[ ! -f "$setup" ]] || "$venv/bin/python" "$setup"
  touch "$stamp"
}

for group in "${groups[@]}"; do
  if [[ " ${all[*]} " != *" $group "* ]]; then
    echo "error: GROUP=$group is unknown, allowed are: ${all[*]}" >&2
    exit 2
  fi
  # Only the files that name it: to collect all tests takes longer than some groups.
  mapfile -t files < <(grep -rlsE "mark\.$group\b" --include='test_*.py' tests | sort)
  if [[ ${#files[@]} -eq 0 ]]; then
    echo "long: $group: no tests yet"
    continue
  fi
  started=$SECONDS
  make_side_environment "$group"
  echo "long: $group"
  # shellcheck disable=SC2086 # words of their own
  "$python" -m pytest -m "$group" ${beside[$group]:-} ${flags[@]+"${flags[@]}"} "${files[@]}"
  echo "long: $group took $((SECONDS - started)) s"
done
