#!/usr/bin/env bash
# What recording costs the media threads: the same calls without and with it, in turn, against one server. Called by run.sh
# (`loadtest/run.sh recording`), which has started the server; arguments: BINARY PID SIP PLAN. Prints table rows; exit 1 when the media
# threads take more than a tenth more.
set -euo pipefail
binary=$1 pid=$2 sip=$3 plan=$4
rounds=3 work=$(mktemp -d) code=0
trap 'rm -rf "$work"' EXIT

# Processor time of the threads whose names begin so, in hundredths of a second.
ticks() {
  local task name sum=0
  for task in "/proc/$pid/task"/*; do
    read -r name <"$task/comm" || continue
    case $name in "$1"*) sum=$((sum + $(awk '{ sub(/^.*\) /, ""); print $12 + $13 }' "$task/stat"))) ;; esac
  done
  echo "$sum"
}

# stretch NUMBER: the calls of the plan to this number; media and writers take so long.
stretch() {
  local media writers
  sed "s/sip:echo@/sip:$1@/" "$plan" >"$work/plan.toml"
  media=$(ticks media-) writers=$(ticks recorder-)
  "$binary" load "$work/plan.toml" --target "127.0.0.1:$sip" --server-pid "$pid" --json "$work/$1.json" >"$work/$1.md" || code=$?
  sleep 2
  echo "$(($(ticks media-) - media)) $(($(ticks recorder-) - writers))"
}

stretch echo >/dev/null # warm
plain=0 kept=0 writers=0
for _ in $(seq "$rounds"); do
  read -r media _ < <(stretch echo); plain=$((plain + media))
  read -r media more < <(stretch echo-kept); kept=$((kept + media)) writers=$((writers + more))
done
cat "$work/echo-kept.md"
awk -v p="$plain" -v k="$kept" -v w="$writers" -v n="$rounds" 'BEGIN {
  printf "| media threads, without and with recording | %.2f and %.2f s: %+.1f %%, %d times in turn |\n", p / 100, k / 100, 100 * (k - p) / p, n
  printf "| the threads that write | %.2f s |\n", w / 100 }'
awk -v p="$plain" -v k="$kept" 'BEGIN { exit !(p < 100 || k > 1.1 * p) }' && { echo "recording.sh: recording costs the media threads more than a tenth (or there was nothing to measure)" >&2; code=1; }
exit "$code"
