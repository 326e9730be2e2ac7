#!/usr/bin/env bash
# What a flood of strangers costs: 20 live calls, then 20,000 INVITEs a second from one source that is in no trunk's network,
# then from 5,000. Called by run.sh (`loadtest/run.sh flood`), which has started the server; arguments: BINARY PID SIP ACL OPS.
# Prints table rows; exit 1 when a flood costs more than a tenth of a core or a live call noticed it.
set -euo pipefail
binary=$1 pid=$2 sip=$3 acl=$4 ops=$5
root=$(cd "$(dirname "$0")/.." && pwd)
seconds=15 work=$(mktemp -d) code=0
trap 'rm -rf "$work"' EXIT
ulimit -n 16384

# Processor time of the server, in hundredths of a second.
ticks() { awk '{ sub(/^.*\) /, ""); print $12 + $13 }' "/proc/$pid/stat"; }
media() { curl -sf "http://127.0.0.1:$ops/metrics" | sed -n "s/^ms_media{what=\"$1\"} //p"; }
dropped() { curl -sf "http://127.0.0.1:$ops/metrics" | awk '/^ms_sip_blocked\{profile="acl"/ && !/banned_sources/ { sum += $2 } END { print sum + 0 }'; }

"$binary" load "$root/loadtest/plans/flood.toml" --target "127.0.0.1:$sip" --server-pid "$pid" --json "$work/calls.json" >"$work/calls.md" &
calls=$!
sleep 8 # all are up

# stretch NAME SOURCES: what the server's process takes in this time, of one core.
stretch() {
  local before after blocked
  before=$(ticks) blocked=$(dropped)
  if [ "$2" -gt 0 ]; then
    "$binary" flood --to "127.0.0.1:$acl" --pps 20000 --sources "$2" --seconds "$seconds" >"$work/flood.json"
  else
    sleep "$seconds"
  fi
  after=$(ticks)
  share=$(awk -v t=$((after - before)) -v s="$seconds" 'BEGIN { printf "%.1f", t / s }')
  echo "| $1 | $share % of a core; $(($(dropped) - blocked)) packets not parsed; send lateness p99.9 $(media lateness_p999_us), max $(media lateness_max_us) µs so far |"
}
stretch "20 calls alone" 0; alone=$share
stretch "20,000 INVITEs a second from one source" 1; one=$share
stretch "20,000 INVITEs a second from 5,000 sources" 5000; many=$share
wait "$calls" || code=$?
cat "$work/calls.md"
for flood in "$one" "$many"; do
  awk -v a="$alone" -v f="$flood" 'BEGIN { exit !(f - a > 10) }' && { echo "flood.sh: a flood costs more than 10 % of a core" >&2; code=1; }
done
exit "$code"
