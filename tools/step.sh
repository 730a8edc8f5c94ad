#!/bin/sh
# Runs one step of the Makefile: `step.sh NAME COMMAND...` prints one line with the time taken, and the whole log on failure.
# VERBOSE=1 shows the log as it is written.
set -u
name=$1
shift
mkdir -p .cache/logs
log=.cache/logs/$(printf '%s' "$name" | tr -c 'A-Za-z0-9\n' '-').log
start=$(date +%s)
printf '%-58s' "$name"
if [ -n "${VERBOSE:-}" ]; then
    printf '\n'
    "$@" </dev/null
    status=$?
else
    "$@" </dev/null >"$log" 2>&1
    status=$?
fi
took=$(($(date +%s) - start))
if [ "$status" -eq 0 ]; then
    printf 'ok %4ss\n' "$took"
else
    printf 'FAILED %4ss\n' "$took"
    [ -n "${VERBOSE:-}" ] || cat "$log"
    printf '%s failed with status %s\n' "$name" "$status" >&2
fi
exit "$status"
