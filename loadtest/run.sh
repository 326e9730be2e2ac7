#!/usr/bin/env bash
# Runs a plan against a server of its own and writes the result into RESULTS.md.
#
#   loadtest/run.sh NAME [--binary FILE --commit ID] [--note TEXT] [--no-results]
#
# NAME is a file in loadtest/plans without its ending. The server is a release build with
# loadtest/server.toml; its ports, data and socket are its own, so that nothing else on the machine
# is met or disturbed. What makes a run void is declared in loadtest/README.md and judged by the generator.
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
plan='' binary='' commit='' note='' results="$root/loadtest/RESULTS.md"
while [ $# -gt 0 ]; do
  case $1 in
    --binary) binary=$2; shift 2 ;;
    --commit) commit=$2; shift 2 ;;
    --note) note=$2; shift 2 ;;
    --no-results) results=/dev/null; shift ;;
    -*) echo "run.sh: unknown option $1" >&2; exit 2 ;;
    *) plan=$1; shift ;;
  esac
done
file="$root/loadtest/plans/$plan.toml"
[ -n "$plan" ] && [ -f "$file" ] || {
  echo "run.sh: give a plan: $(cd "$root/loadtest/plans" && ls | sed 's/\.toml$//' | xargs)" >&2
  exit 2
}
if [ -z "$binary" ]; then
  echo "building (release)…" >&2
  (cd "$root" && cargo build --release -q -p media-server)
  binary="${CARGO_TARGET_DIR:-$root/target}/release/media-server"
fi

work=$(mktemp -d)
server='' stub='' sampler=''
cleanup() {
  for pid in $server $stub $sampler; do kill "$pid" 2>/dev/null || true; done
  for pid in $server $stub; do wait "$pid" 2>/dev/null || true; done
  rm -rf "$work"
}
trap cleanup EXIT

# Ports that nobody listens on now, UDP or TCP, all different.
free_ports() {
  local port
  for port in $(shuf -i 5000-7499); do
    port=$((port * 2))
    grep -qiE ":$(printf %04X "$port") " /proc/net/udp /proc/net/tcp || echo "$port"
  done
}
read -r sip http ops agent acl phones far < <(free_ports 2>/dev/null | head -7 | xargs)

# The shipped profile on other ports; RTP keeps its range.
mkdir -p "$work/sip-profiles"
sed "s/127\.0\.0\.1:5060/127.0.0.1:$sip/g" "$root/loadtest/server/sip-profiles/internal.toml" >"$work/sip-profiles/internal.toml"
# Where strangers knock: nobody may call here but a trunk that does not exist.
cat >"$work/sip-profiles/acl.toml" <<ACL
listen = ["udp://127.0.0.1:$acl"]
context = "internal"
auth = "acl"
rtp = { ports = "20000-32767" }
[[trunk]]
name = "nobody"
sources = ["192.0.2.1/32"]
ACL
# Where callers need a password that nobody has.
cat >"$work/sip-profiles/phones.toml" <<PHONES
listen = ["udp://127.0.0.1:$phones"]
context = "internal"
auth = "digest"
rtp = { ports = "20000-32767" }
guard = { ban_after = 0 }                 # one address guesses for a thousand callers
PHONES
# The shipped dialplan; its bridge calls this server itself, one number only rings, one hands its callers on, and others lead to numbers
# of the generator.
cp -r "$root/dialplans" "$work/dialplans"
sed -i "s/127\.0\.0\.1:5990/127.0.0.1:$sip/" "$work/dialplans/internal.toml"
cat >>"$work/dialplans/internal.toml" <<RINGS

[[route]]
name = "rings"
when = { to = "rings" }
do = ["ring", { sleep = "30s" }]

[[route]]
name = "echo-kept"
when = { to = "echo-kept" }
do = ["answer", { record = { consent = "given" } }, "echo"]

[[route]]
name = "handed on"
when = { to = "handed-on" }
do = ["answer", { sleep = "500ms" }, { transfer = { to = "sip:echo@127.0.0.1:$sip", mode = "refer" } }]

[[route]]
name = "out"
when = { to = "out-(?<who>.+)" }
do = [{ bridge = { to = "sip:{to.who}@127.0.0.1:$far", ring_for = "25s" } }]

[[route]]
name = "transferred out"
when = { to = "over-(?<who>.+)" }
do = ["answer", { sleep = "500ms" }, { transfer = { to = "sip:{to.who}@127.0.0.1:$far", mode = "bridge" } }]
RINGS
export SIDETONE_DIALPLANS_DIR="$work/dialplans"
sed "s/127\.0\.0\.1:5060/127.0.0.1:$sip/; s/127\.0\.0\.1:5061/127.0.0.1:$phones/" "$file" >"$work/plan.toml"
export SIDETONE_PROFILES_DIR="$work/sip-profiles"
export SIDETONE_HTTP__BIND="127.0.0.1:$http" SIDETONE_OPS__BIND="127.0.0.1:$ops"
export SIDETONE_OPS__SOCKET="$work/server.sock" SIDETONE_DATA__ADMIN_KEY_FILE="$work/admin.key"
export SIDETONE_SPEECH__MODELS_DIR="$root/models" SIDETONE_LOADTEST__STUB="tcp://127.0.0.1:$agent"

"$binary" stub-agent --listen "127.0.0.1:$agent" &
stub=$!
"$binary" serve --config "$root/loadtest/server.toml" 2>"$work/server.log" &
server=$!
for _ in $(seq 150); do
  curl -sf "http://127.0.0.1:$ops/readyz" >/dev/null && break
  kill -0 "$server" 2>/dev/null || { cat "$work/server.log" >&2; exit 1; }
  sleep 0.2
done
sleep 3 # start-up work is not the calls'

code=0
if [ "$plan" = flood ]; then
  "$root/loadtest/flood.sh" "$binary" "$server" "$sip" "$acl" "$ops" | tee "$work/table.md" || code=${PIPESTATUS[0]}
  { echo; echo "### $plan · $(date -u +'%Y-%m-%d %H:%M UTC')"; echo; sed -n 's/^story = "\(.*\)"/\1./p' "$file"; echo; echo "Commit: $(git -C "$root" rev-parse --short HEAD), $(nproc) cores.${note:+ $note}"; echo; cat "$work/table.md"; } >>"$results"
  exit "$code"
fi
if [ "$plan" = recording ]; then
  "$root/loadtest/recording.sh" "$binary" "$server" "$sip" "$work/plan.toml" | tee "$work/table.md" || code=${PIPESTATUS[0]}
  { echo; echo "### $plan · $(date -u +'%Y-%m-%d %H:%M UTC')"; echo; sed -n 's/^story = "\(.*\)"/\1./p' "$file"; echo; echo "Commit: $(git -C "$root" rev-parse --short HEAD), $(nproc) cores.${note:+ $note}"; echo; cat "$work/table.md"; } >>"$results"
  exit "$code"
fi
# What must be back when the calls are over: RSS (KB), descriptors, dialogs, tasks, ports.
own_state() {
  local text
  text=$(curl -sf "http://127.0.0.1:$ops/metrics")
  number() { sed -n "s/^$1 //p" <<<"$text"; }
  echo "$(awk '/^VmRSS/ { print $2 }' "/proc/$server/status") $(ls "/proc/$server/fd" | wc -l) $(number ms_dialogs_active) $(number ms_tasks) $(number 'ms_media{what="ports_leased"}')"
}
# Ten calls first: what the first of all calls opens for good (a connection to the office, both ends in this process) is no leak.
warm=0
if [[ $plan == *-20000 ]]; then
  sed "s/127\.0\.0\.1:5060/127.0.0.1:$sip/" "$root/loadtest/plans/smoke.toml" >"$work/warm.toml"
  "$binary" load "$work/warm.toml" --target "127.0.0.1:$sip" --json "$work/warm.json" >/dev/null
  warm=$(sed -n 's/^ *"placed": \([0-9]*\).*/\1/p' "$work/warm.json")
  sleep 3
fi
before=$(own_state)
# Its memory, once a second.
(while awk '/^VmRSS/ { print $2; found = 1 } END { exit !found }' "/proc/$server/status" 2>/dev/null >>"$work/rss"; do sleep 1; done) &
sampler=$!
"$binary" load "$work/plan.toml" --target "127.0.0.1:$sip" --server-pid "$server" --answer "127.0.0.1:$far" --api "http://127.0.0.1:$http" --key-file "$work/admin.key" --json "$work/result.json" | tee "$work/table.md" || code=${PIPESTATUS[0]}
[ -s "$work/result.json" ] || exit 1
kill "$sampler"; sampler=''
# What the first third of the calls took is warming up; what grows after it goes on growing.
growth=$(awk '{ all[NR] = $1 } END {
  third = int(NR / 3); span = int(NR / 10) + 1
  for (n = third; n < third + span; n++) first += all[n] / span
  for (n = NR - span + 1; n <= NR; n++) last += all[n] / span
  printf "%.0f KB after a third of the time, %.0f KB at the end: %+.1f %%", first, last, 100 * (last - first) / first }' "$work/rss")

# Forty seconds after the last of many calls, everything is back.
left=''
if [[ $plan == *-20000 ]]; then
  sleep 40
  after=$(own_state)
  left="| 40 s after: RSS KB, descriptors, dialogs, tasks, ports | $after, before them and after ten other calls $before |
| server's memory | $growth |"
  awk -v now="$after" -v then="$before" 'BEGIN { split(now, a); split(then, b); for (n = 2; n <= 5; n++) more += a[n] > b[n]; exit !more }' &&
    { echo "run.sh: something is left: $after, before $before" >&2; code=1; }
  awk -v text="$growth" 'BEGIN { sub(/.*: /, "", text); exit !(text + 0 > 1) }' && { echo "run.sh: memory grows: $growth" >&2; code=1; }
fi

# What the server says of itself. A record for each call must exist soon after the last has ended: one that rang
# in vain, or that we placed, ends later than its caller.
placed=$(sed -n 's/^ *"placed": \([0-9]*\).*/\1/p' "$work/result.json")
due=$(($(sed -n 's/^ *"records": \([0-9]*\).*/\1/p' "$work/result.json") + warm))
for _ in $(seq 80); do
  curl -sf "http://127.0.0.1:$ops/metrics" >"$work/metrics.txt"
  records=$(awk '/^ms_calls_total\{/ { sum += $2 } END { print sum + 0 }' "$work/metrics.txt")
  [ "$records" -lt "${due:-0}" ] || break
  sleep 0.5
done
sleep 1 # one too many would show by now
curl -sf "http://127.0.0.1:$ops/metrics" >"$work/metrics.txt"
records=$(awk '/^ms_calls_total\{/ { sum += $2 } END { print sum + 0 }' "$work/metrics.txt")
media() { sed -n "s/^ms_media{what=\"$1\"} //p" "$work/metrics.txt"; }
late="p50 $(media lateness_p50_us), p99 $(media lateness_p99_us), p99.9 $(media lateness_p999_us), max $(media lateness_max_us) µs"
[ "$records" = "$due" ] || { echo "run.sh: $placed calls, $records records, not $due" >&2; code=1; }

own() {
  echo "| server's own send lateness | $late; ticks given up: $(media skipped_ticks) |"
  echo "| records | $((records - warm)) of $((due - warm)), for $placed calls |"
  [ -z "$left" ] || echo "$left"
}

# A binary from elsewhere may be of another commit: whoever brings it says which.
if [ -z "$commit" ]; then
  commit=$(git -C "$root" rev-parse --short HEAD)
  git -C "$root" diff --quiet HEAD -- crates media-server/src control-api/src || commit="$commit with changes"
fi
cpu=$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -1)
memory=$(awk '/^MemTotal/ { printf "%.0f GB", $2 / 1048576 }' /proc/meminfo)
{
  echo
  echo "### $plan · $(date -u +'%Y-%m-%d %H:%M UTC')"
  echo
  sed -n 's/^story = "\(.*\)"/\1./p' "$file"
  echo
  echo "Machine: $(nproc) × $cpu, $memory, Linux $(uname -r | cut -d- -f1). Commit: $commit, release build. Generator and server on this machine, over loopback.${note:+ $note}"
  echo
  cat "$work/table.md"
  own
} >>"$results"
own
exit "$code"
