#!/bin/bash
# Stands in for actions/runner's run.sh: it starts the listener, again after 2, 3 and 4, and turns every other end into 0.
cd "$(dirname "$0")" || exit 1
if [ "$(id -u)" -eq 0 ] && [ -z "$RUNNER_ALLOW_RUNASROOT" ]; then
  echo "Must not run interactively with sudo"
  exit 0
fi
while :; do
  ./bin/Runner.Listener run "$@"
  code=$?
  case $code in
    0) echo "Runner listener exit with 0 return code, stop the service, no retry needed." && exit 0 ;;
    1) echo "Runner listener exit with terminated error, stop the service, no retry needed." && exit 0 ;;
    2) echo "Runner listener exit with retryable error, re-launch runner in 5 seconds." && sleep 5 ;;
    3 | 4) echo "Runner listener exit because of updating, re-launch runner after successful update" && sleep 5 ;;
    5) echo "Runner listener exit with Session Conflict error, stop the service, no retry needed." && exit 0 ;;
    7) [ -n "$ACTIONS_RUNNER_RETURN_VERSION_DEPRECATED_EXIT_CODE" ] && exit 7 || exit 0 ;;
    *) echo "Exiting with unknown error code: $code" && exit 0 ;;
  esac
done
