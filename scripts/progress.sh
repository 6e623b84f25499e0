# shellcheck shell=bash
# progress LABEL TOTAL PATTERN COMMAND...: run a command, its output to $log, and show how far it is.
#
# TOTAL lines matching PATTERN make a full bar; TOTAL 0: only the time is shown. On a terminal one
# line is redrawn; elsewhere a line is printed when it begins and every 15 s. When the command fails
# the end of its output is shown and the script ends.

_bar() { # DONE TOTAL -> [####....]
  local width=24 full
  [ "$2" -gt 0 ] || return 0
  full=$(($1 * width / $2))
  [ "$full" -le "$width" ] || full=$width
  printf '[%s%s] ' "$(printf '%*s' "$full" '' | tr ' ' '#')" \
    "$(printf '%*s' $((width - full)) '' | tr ' ' '.')"
}

progress() {
  local label=$1 total=$2 pattern=$3 begun=$SECONDS from shown=-1 rc=0 done=0 elapsed pid
  shift 3
  : "${log:?}"
  touch "$log"
  from=$(($(wc -l <"$log") + 1))
  [ -t 1 ] || echo "$label ..."
  "$@" >>"$log" 2>&1 </dev/null &
  pid=$!
  # An interrupted wait must not leave the command behind.
  trap 'kill "$pid" 2>/dev/null; echo; exit 130' INT TERM
  while kill -0 "$pid" 2>/dev/null; do
    elapsed=$((SECONDS - begun))
    done=$(tail -n "+$from" "$log" | grep -cE "$pattern" || true)
    if [ -t 1 ]; then
      printf '\r\033[K%s %s%s s' "$label" "$(_bar "$done" "$total")" "$elapsed"
    elif [ $((elapsed / 15)) -gt "$shown" ] && [ "$elapsed" -ge 15 ]; then
      shown=$((elapsed / 15))
      printf '%s %s%s s\n' "$label" "$(_bar "$done" "$total")" "$elapsed"
    fi
    sleep 0.2
  done
  wait "$pid" || rc=$?
  trap - INT TERM
  if [ -t 1 ]; then printf '\r\033[K%s: %s s\n' "$label" "$((SECONDS - begun))"; fi
  if [ "$rc" != 0 ]; then
    tail -n 25 "$log" >&2
    echo "$label failed; the whole output is in $log. It is safe to run the command again." >&2
    exit "$rc"
  fi
}
