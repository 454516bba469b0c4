# shellcheck shell=sh
# hf-runner-controller: turns this container into one ephemeral GitHub Actions runner, and ends with it.
# docs/bootstrap.md lists the steps, every variable, every exit code and the marker line.
#
# POSIX sh, run as `sh -c "<this text>"`. Two rules for whoever edits it:
#  - Kubernetes rewrites two things in a container's command: a doubled dollar sign, and a dollar sign with one bare word
#    in parentheses. Neither may appear here, whatever the Hub runs jobs on.
#  - A variable that came from the environment stays exported when it is assigned, so a pool's `env` could make ours
#    visible to workflow steps, or ours change the pool's: every variable here starts with hf_.

set +x -u
umask 022

# The secret leaves the environment before anything is started, and goes into the Listener's alone (launch).
unset hf_jit
hf_jit=${HFRUNNER_JIT_CONFIG-}
unset HFRUNNER_JIT_CONFIG

hf_signal=
hf_ended=
hf_facts=
hf_listener_exit=none
hf_result=none
hf_ran=false

say() { printf 'hfrunner: %s\n' "$*"; }
has() { command -v "$1" >/dev/null 2>&1; }

# finish OUTCOME SENTENCE: the only way out. One marker line, one exit code.
finish() {
  trap - EXIT
  trap '' HUP INT TERM
  case $1 in
    JobCompleted) hf_code=0 ;;
    BadConfiguration) hf_code=64 ;;
    UnsupportedImage) hf_code=65 ;;
    MissingTool) hf_code=66 ;;
    DownloadFailed) hf_code=67 ;;
    ChecksumMismatch) hf_code=68 ;;
    UnpackFailed) hf_code=69 ;;
    HomeNotWritable) hf_code=70 ;;
    RegistrationRefused) hf_code=71 ;;
    RegistrationTimeout) hf_code=72 ;;
    VersionDeprecated) hf_code=73 ;;
    SessionConflict) hf_code=74 ;;
    IdleTimeout) hf_code=75 ;;
    Deregistered) hf_code=76 ;;
    Terminated) hf_code=77 ;;
    ListenerCrashed) hf_code=78 ;;
    ListenerFailed) hf_code=79 ;;
    UpdateFailed) hf_code=80 ;;
    BootstrapFailed) hf_code=81 ;;
    LifetimeReached) hf_code=82 ;;
    JobInterrupted) hf_code=83 ;;
  esac
  if [ -n "$hf_facts" ]; then # waited for, so that none of its lines comes after the marker
    kill "$hf_facts" 2>/dev/null
    wait "$hf_facts" 2>/dev/null
  fi
  say "$2"
  say "outcome=$1 listener-exit=$hf_listener_exit job-result=$hf_result ran-job=$hf_ran"
  exit "$hf_code"
}
trap 'finish BootstrapFailed "the bootstrap script itself failed; please report it with the lines above"' EXIT
trap 'hf_signal=HUP' HUP
trap 'hf_signal=INT' INT
trap 'hf_signal=TERM' TERM

# Seconds on a clock that never goes back, without a process, where /proc has it.
now() {
  { read -r hf_now _ </proc/uptime && hf_now=${hf_now%%.*}; } 2>/dev/null || hf_now=$(date +%s)
}

# A sleep that a signal cuts short. A trap runs between two commands, so a foreground sleep would delay it.
pause() {
  sleep "$1" >/dev/null 2>&1 &
  wait "$!"
}

# The wait between two looks at something: short at first, for what ends at once.
poll() {
  hf_polls=$((hf_polls + 1))
  if [ "$hf_polls" -le 40 ]; then pause "$hf_short"; else pause 1; fi
}

whole_number() {
  case $2 in
    '' | *[!0-9]*) finish BadConfiguration "$1 must be a whole number, not '$2'" ;;
  esac
}

# ------------------------------------------------------------------------------------------------------------- settings
read_settings() {
  [ -n "$hf_jit" ] || finish BadConfiguration "HFRUNNER_JIT_CONFIG is empty: the HF Job was made without its secret"
  hf_lifetime=${HFRUNNER_LIFETIME_SECONDS:-0}
  hf_registration=${HFRUNNER_REGISTRATION_SECONDS:-300}
  hf_idle=${HFRUNNER_IDLE_SECONDS:-0}
  hf_idle_margin=${HFRUNNER_IDLE_MARGIN_SECONDS:-120}
  hf_stop=${HFRUNNER_STOP_SECONDS:-40}
  hf_retry=${HFRUNNER_RETRY_SECONDS:-5}
  whole_number HFRUNNER_LIFETIME_SECONDS "$hf_lifetime"
  whole_number HFRUNNER_REGISTRATION_SECONDS "$hf_registration"
  whole_number HFRUNNER_IDLE_SECONDS "$hf_idle"
  whole_number HFRUNNER_IDLE_MARGIN_SECONDS "$hf_idle_margin"
  whole_number HFRUNNER_STOP_SECONDS "$hf_stop"
  whole_number HFRUNNER_RETRY_SECONDS "$hf_retry"
  case ${HFRUNNER_PACKAGES:=install} in
    install | skip) ;;
    *) finish BadConfiguration "HFRUNNER_PACKAGES must be install or skip, not '$HFRUNNER_PACKAGES'" ;;
  esac
  now
  hf_end_by=
  [ "$hf_lifetime" -eq 0 ] || hf_end_by=$((hf_now + hf_lifetime))
  hf_register_by=$((hf_now + hf_registration))
  hf_short=0.05
  sleep 0.01 2>/dev/null || hf_short=1 # fractions are an extension, though a common one
}

# Whether the lifetime is over, as of the last look at the clock.
expired() { [ -n "$hf_end_by" ] && [ "$hf_now" -ge "$hf_end_by" ]; }

# Ends here when told to, or when a deadline passed before the runner was even started.
go_on() {
  now
  [ -z "$hf_signal" ] || finish Terminated "stopped by SIG$hf_signal before the runner was started"
  expired && finish LifetimeReached "lifetime of $hf_lifetime s reached before the runner was started"
  [ "$hf_now" -lt "$hf_register_by" ] ||
    finish RegistrationTimeout "preparing the image took longer than the registration deadline of $hf_registration s"
}

# bounded COMMAND...: runs it in the background, so that signals and the deadline reach us, with its output in hf_log.
# Returns its exit code.
bounded() {
  "$@" </dev/null >>"$hf_log" 2>&1 &
  hf_task=$!
  hf_polls=0
  while kill -0 "$hf_task" 2>/dev/null; do
    now
    if [ -n "$hf_signal" ] || expired || [ "$hf_now" -ge "$hf_register_by" ]; then kill "$hf_task" 2>/dev/null; fi
    go_on
    poll
  done
  wait "$hf_task"
}

# failed OUTCOME SENTENCE: finish, after what the command that failed had to say.
failed() {
  tail -n 15 "$hf_log"
  finish "$@"
}

# ----------------------------------------------------------------------------------------------------- user, home, tools
# claim DIRECTORY: makes it exist and be writable for us, if it can.
claim() {
  mkdir -p "$1" 2>/dev/null
  [ -w "$1" ] && [ -x "$1" ] && return 0
  [ -n "$hf_sudo" ] && sudo -n mkdir -p "$1" && sudo -n chown "$hf_uid" "$1" && [ -w "$1" ] && [ -x "$1" ]
}

# HOME is also the runner's root: `_work` is then below HOME at the same depth as on GitHub's runners, which actions/cache
# needs to restore paths such as ~/.cache.
prepare_user() {
  hf_uid=$(id -u)
  hf_sudo=
  if [ "$hf_uid" -ne 0 ] && has sudo && sudo -n true 2>/dev/null; then hf_sudo='sudo -n'; fi

  hf_home=${HFRUNNER_HOME:-/home/runner}
  case $hf_home in
    /?*) ;;
    *) finish BadConfiguration "HFRUNNER_HOME must be an absolute path, not '$hf_home'" ;;
  esac
  if ! claim "$hf_home"; then
    [ -z "${HFRUNNER_HOME-}" ] || finish HomeNotWritable "HFRUNNER_HOME=$hf_home cannot be written by uid $hf_uid"
    for hf_home in "${HOME:-/}" "${TMPDIR:-/tmp}/runner-home" ''; do
      [ "$hf_home" != / ] && [ -n "$hf_home" ] && claim "$hf_home" && break
    done
    [ -n "$hf_home" ] || finish HomeNotWritable "uid $hf_uid can write neither /home/runner nor its home nor TMPDIR"
    say "warning: uid $hf_uid cannot write /home/runner, so HOME is $hf_home: caches of other runners restore elsewhere"
  fi
  # Firefox and git refuse a home that belongs to somebody else.
  [ "$hf_uid" -ne 0 ] || chown 0:0 "$hf_home" 2>/dev/null
  cd "$hf_home" || finish HomeNotWritable "cannot enter $hf_home"
  export HOME="$hf_home"

  hf_tools=${HFRUNNER_TOOL_CACHE:-${RUNNER_TOOL_CACHE:-${AGENT_TOOLSDIRECTORY:-/opt/hostedtoolcache}}}
  if ! claim "$hf_tools"; then
    say "warning: uid $hf_uid cannot write $hf_tools, so the tool cache is $HOME/hostedtoolcache"
    hf_tools=$HOME/hostedtoolcache
    claim "$hf_tools" || finish HomeNotWritable "cannot make $hf_tools"
  fi

  hf_state=$HOME/.hfrunner
  rm -rf "$hf_state"
  mkdir -m 700 "$hf_state" || finish HomeNotWritable "cannot make $hf_state"
  hf_log=$hf_state/log
  warn_of_volumes
}

# on_volume PATH [whole]: whether it, links resolved, is on a mount that can be written: there, other jobs may have written it.
# `whole` asks the same of all below it. The container's own file system is the mount at /, which no other job has.
on_volume() {
  hf_real=$1
  [ -d "$hf_real" ] || [ ! -h "$hf_real" ] || hf_real=$(readlink -f "$hf_real") || return 0
  hf_leaf=
  [ -d "$hf_real" ] || { hf_leaf=/${hf_real##*/} hf_real=${hf_real%/*}; }
  hf_real=$(cd -P "${hf_real:-/}" 2>/dev/null && pwd -P) || return 0
  hf_real=${hf_real%/}$hf_leaf
  [ -r /proc/mounts ] || return 0
  while read -r _ hf_point _ hf_options _; do
    case $hf_options in ro | ro,*) continue ;; esac
    case $hf_point in
      /) continue ;;
      *\\*) hf_point=$(printf '%b' "$(printf '%s\n' "$hf_point" | sed 's/\\/\\0/g')") ;; # a space is \040
    esac
    # Where mounts lie above each other, the order of the lines does not tell for certain which of them shows: any counts.
    case $hf_real/ in "$hf_point"/*) return 0 ;; esac
    case ${2-}$hf_point/ in whole"$hf_real"/*) return 0 ;; esac
  done </proc/mounts
  return 1
}

# Programs are run from these places before a job has any say.
warn_of_volumes() {
  hf_rest=$PATH:$HOME:$hf_tools:
  while [ -n "$hf_rest" ]; do
    hf_dir=${hf_rest%%:*}
    hf_rest=${hf_rest#*:}
    if [ -d "$hf_dir" ] && on_volume "$hf_dir"; then
      say "warning: $hf_dir is on a volume that can be written: any job that wrote there decides what runs here"
    fi
  done
}

# ------------------------------------------------------------------------------------------------------------- packages
has_library() {
  for hf_file in /lib/"$1"* /lib64/"$1"* /usr/lib/"$1"* /usr/lib64/"$1"* /usr/local/lib/"$1"* \
    /lib/*-linux-gnu*/"$1"* /usr/lib/*-linux-gnu*/"$1"*; do
    [ -e "$hf_file" ] && return 0 # a pattern without a match stays as it is
  done
  return 1
}

# Sets hf_missing to what workflows and the runner need and the image lacks.
find_missing() {
  hf_missing=
  for hf_tool in sudo bash git git-lfs curl jq unzip zstd xz tar gzip python3; do
    has "$hf_tool" || hf_missing="$hf_missing $hf_tool"
  done
  # Debian alone splits venv from python3.
  if has apt-get && ! python3 -c 'import ensurepip, venv' 2>/dev/null; then hf_missing="$hf_missing python3-venv"; fi
  [ -s /etc/ssl/certs/ca-certificates.crt ] || [ -s /etc/pki/tls/certs/ca-bundle.crt ] || [ -s /etc/ssl/cert.pem ] ||
    hf_missing="$hf_missing ca-certificates"
  for hf_library in libicuuc libssl libgssapi_krb5 libz liblttng-ust libstdc++; do
    has_library "$hf_library.so." || hf_missing="$hf_missing $hf_library"
  done
  if [ "$hf_manager" = apk ] && ! has_library ld-linux; then hf_missing="$hf_missing gcompat"; fi
}

# add_first NAME...: adds the first of these packages that the distribution has.
add_first() {
  for hf_name in "$@"; do
    case " $hf_available " in
      *" $hf_name "*)
        hf_packages="$hf_packages $hf_name"
        return
        ;;
    esac
  done
}

# Names differ between releases (libicu72, libssl3t64), and one unknown name fails a whole apt-get call: ask first.
name_apt_packages() {
  hf_available=$(apt-cache --names-only search '^(sudo|bash|git|git-lfs|curl|jq|unzip|zstd|xz-utils|tar|gzip|python3|python3-venv|ca-certificates|libicu[0-9]+|libssl(3t64|3|1\.1)|libgssapi-krb5-2|zlib1g|liblttng-ust(1t64|1|0)|libstdc\+\+6)$' 2>/dev/null | sed 's/ .*//' | tr '\n' ' ')
  for hf_need in $hf_missing; do
    case $hf_need in
      xz) add_first xz-utils ;;
      libssl) add_first libssl3t64 libssl3 libssl1.1 ;;
      libgssapi_krb5) add_first libgssapi-krb5-2 ;;
      libz) add_first zlib1g ;;
      liblttng-ust) add_first liblttng-ust1t64 liblttng-ust1 liblttng-ust0 ;;
      libstdc++) add_first libstdc++6 ;;
      libicuuc)
        hf_icu=0
        for hf_name in $hf_available; do
          case $hf_name in
            libicu*) [ "${hf_name#libicu}" -le "$hf_icu" ] || hf_icu=${hf_name#libicu} ;;
          esac
        done
        add_first "libicu$hf_icu"
        ;;
      *) add_first "$hf_need" ;;
    esac
  done
}

name_other_packages() {
  for hf_need in $hf_missing; do
    case $hf_manager:$hf_need in
      apk:libicuuc) hf_need=icu-libs ;;
      apk:libssl) hf_need=libssl3 ;;
      *:libicuuc) hf_need=libicu ;;
      *:libssl) hf_need=openssl-libs ;;
      *:libgssapi_krb5) hf_need=krb5-libs ;;
      *:libz) hf_need=zlib ;;
      *:liblttng-ust) hf_need=lttng-ust ;;
    esac
    hf_packages="$hf_packages $hf_need"
  done
}

# Runs in the background of bounded, so `exec` lets a signal reach the package manager.
# shellcheck disable=SC2086,SC2317 # hf_sudo is empty or two words; bounded calls this
manage() {
  hf_verb=$1
  shift
  case $hf_manager in
    apt-get)
      exec $hf_sudo env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o Acquire::Retries=2 -o DPkg::Lock::Timeout=60 \
        -o Dpkg::Options::=--force-confold -o Dpkg::Use-Pty=0 --no-install-recommends "$hf_verb" "$@"
      ;;
    apk) exec $hf_sudo apk add --no-cache "$@" ;;
    *) exec $hf_sudo "$hf_manager" install -y "$@" ;;
  esac
}

# All at once, three times; then each on its own, so that one that cannot be had takes no other with it.
# shellcheck disable=SC2086 # package names have no spaces
install_missing() {
  for hf_try in 1 2 3; do
    hf_packages=
    if [ "$hf_manager" = apt-get ]; then
      # A third party's broken repository fails the update, and what we need may be there all the same: go on.
      hf_updated=false
      bounded manage update && hf_updated=true
      name_apt_packages
      [ "$hf_updated$hf_packages" != true ] || return 0 # the distribution has none of them
    else
      name_other_packages
    fi
    [ -n "$hf_packages" ] && bounded manage install $hf_packages && return
    [ "$hf_try" = 3 ] || pause "$hf_retry"
    go_on
  done
  tail -n 15 "$hf_log"
  for hf_name in $hf_packages; do
    bounded manage install "$hf_name" || say "warning: $hf_name could not be installed"
  done
}

prepare_packages() {
  [ "$HFRUNNER_PACKAGES" = install ] || return 0
  hf_manager=
  for hf_name in apt-get dnf microdnf yum apk; do
    has "$hf_name" && hf_manager=$hf_name && break
  done
  find_missing
  [ -n "$hf_missing" ] || return 0
  if [ "$hf_uid" -ne 0 ] && [ -z "$hf_sudo" ]; then
    say "warning: this image runs as uid $hf_uid without sudo: steps cannot install packages, and it lacks:$hf_missing"
  elif [ -z "$hf_manager" ]; then
    say "warning: this image has no apt-get, dnf, yum or apk, and it lacks:$hf_missing"
  else
    say "installing with $hf_manager:$hf_missing"
    install_missing
    find_missing
    [ -z "$hf_missing" ] || say "warning: still missing:$hf_missing"
  fi
}

# --------------------------------------------------------------------------------------------------------------- runner
name_archive() {
  case $(uname -m 2>/dev/null) in
    x86_64 | amd64) hf_arch=x64 hf_sha256=${HFRUNNER_RUNNER_SHA256_X64-} ;;
    aarch64 | arm64) hf_arch=arm64 hf_sha256=${HFRUNNER_RUNNER_SHA256_ARM64-} ;;
    *) finish UnsupportedImage "GitHub builds no runner for the machine type '$(uname -m 2>/dev/null)'" ;;
  esac
  hf_version=${HFRUNNER_RUNNER_VERSION-}
  hf_archive=actions-runner-linux-$hf_arch-$hf_version.tar.gz
}

# Sets hf_found to the runner's Listener or archive: where HFRUNNER_RUNNER_DIR says, else in the usual places, of which
# any may be a volume that is read-only. What any job may have written is passed over.
find_runner() {
  [ "${HFRUNNER_RUNNER_DIR-}" != none ] || return 1
  hf_seen=:
  for hf_dir in "${HFRUNNER_RUNNER_DIR:-$HOME}" "$HOME" /home/runner /actions-runner /opt/actions-runner /opt/runner /runner; do
    case $hf_seen in *":$hf_dir:"*) continue ;; esac
    hf_seen=$hf_seen$hf_dir:
    hf_held=false
    for hf_found in "$hf_dir/bin/Runner.Listener" "$hf_dir/$hf_archive"; do
      [ -f "$hf_found" ] || continue
      hf_held=true
      shared_runner || return 0
      say "warning: $hf_found is not used: it is on a volume that can be written, so any job may have put it there"
    done
    [ "$hf_held$hf_dir" != "false${HFRUNNER_RUNNER_DIR-}" ] ||
      say "warning: HFRUNNER_RUNNER_DIR=$hf_dir holds neither bin/Runner.Listener nor $hf_archive"
  done
  return 1
}

# Whether any job may have written the runner that was found, or a part of it.
shared_runner() {
  if on_volume "$hf_dir" || on_volume "$hf_found"; then return 0; fi
  [ "$hf_found" = "$hf_dir/bin/Runner.Listener" ] || return 1
  if on_volume "$hf_dir/bin" whole || { [ -e "$hf_dir/externals" ] && on_volume "$hf_dir/externals" whole; }; then return 0; fi
  for hf_file in "$hf_dir"/bin/* "$hf_dir"/externals/* "$hf_dir"/externals/*/bin/*; do
    if [ -h "$hf_file" ] && [ -e "$hf_file" ] && on_volume "$hf_file"; then return 0; fi
  done
  return 1
}

# The Listener takes the directory above its own program, links resolved, for its root, and writes .runner, .credentials
# and _diag there. So `bin` (about 100 MB) must be a real copy in HOME; `externals` (node, about 670 MB) is only read and
# may stay a link, unless the volume dropped its mode bits, as bucket mounts do.
adopt_directory() {
  [ "$(cd -P "$1" && pwd)" != "$(cd -P "$HOME" && pwd)" ] || return 0
  bounded cp -RP "$1/bin" "$HOME/" || failed UnpackFailed "cannot copy $1/bin to $HOME"
  chmod +x "$HOME"/bin/Runner.* "$HOME"/bin/*.sh 2>/dev/null
  rm -rf "$HOME/externals"
  if runnable_externals "$1"; then
    ln -s "$1/externals" "$HOME/externals"
  else
    bounded cp -RP "$1/externals" "$HOME/" || failed UnpackFailed "cannot copy $1/externals to $HOME"
    chmod +x "$HOME"/externals/*/bin/* 2>/dev/null
  fi
  for hf_file in "$1"/* "$1"/.env "$1"/.path; do # the scripts that a self-update needs, the image's settings, its hooks
    hf_name=${hf_file##*/}
    if [ -e "$hf_file" ] && on_volume "$hf_file"; then
      say "warning: $hf_file is not used: it is on a volume that can be written"
    elif [ -f "$hf_file" ]; then
      cp "$hf_file" "$HOME/" || finish UnpackFailed "cannot copy $hf_file to $HOME"
    elif [ -d "$hf_file" ] && [ ! -e "$HOME/$hf_name" ] && [ "$hf_name" != _work ] && [ "$hf_name" != _diag ]; then
      ln -s "$hf_file" "$HOME/$hf_name"
    fi
  done
}

runnable_externals() {
  for hf_file in "$1"/externals/node*/bin/node; do
    [ -x "$hf_file" ] || return 1
  done
}

sha256_of() {
  if has sha256sum; then
    hf_sum=$(sha256sum "$1")
  elif has shasum; then
    hf_sum=$(shasum -a 256 "$1")
  elif has python3; then
    hf_sum=$(python3 -c 'import hashlib, sys; print(hashlib.sha256(open(sys.argv[1], "rb").read()).hexdigest())' "$1")
  else
    finish MissingTool "the runner's checksum cannot be verified: the image has neither sha256sum nor shasum nor python3"
  fi
  hf_sum=${hf_sum%% *}
}

adopt_archive() {
  sha256_of "$1"
  [ "$hf_sum" = "$hf_sha256" ] ||
    finish ChecksumMismatch "$1 has sha256 $hf_sum, not $hf_sha256 as pinned for $hf_version; it was not unpacked"
  if ! has tar || ! has gzip; then finish MissingTool "the image has no tar or no gzip to unpack the runner with"; fi
  bounded tar -xzof "$1" -C "$HOME" || failed UnpackFailed "cannot unpack $1 into $HOME"
}

# fetch TOOL URL FILE
# shellcheck disable=SC2317 # bounded calls this
fetch() {
  hf_tool=$1
  shift
  case $hf_tool in
    curl) exec curl -fsSL --connect-timeout 20 --speed-limit 1000 --speed-time 30 -o "$2" "$1" ;;
    wget) exec wget -q -T 30 -O "$2" "$1" ;;
  esac
  exec python3 -c 'import shutil, sys, urllib.request
with urllib.request.urlopen(sys.argv[1], timeout=30) as source, open(sys.argv[2], "wb") as target:
    shutil.copyfileobj(source, target)' "$1" "$2"
}

download_runner() {
  [ -n "$hf_version" ] || finish BadConfiguration "no runner in the image, and HFRUNNER_RUNNER_VERSION is empty"
  [ -n "$hf_sha256" ] ||
    finish BadConfiguration "no sha256 is pinned for runner $hf_version on $hf_arch; nothing is run unverified"
  hf_url=${HFRUNNER_RUNNER_BASE_URL:-https://github.com/actions/runner/releases/download}/v$hf_version/$hf_archive
  case $hf_url in
    https://* | http://127.0.0.1[:/]* | http://localhost[:/]* | 'http://[::1]'[:/]*) ;;
    http://*) [ "${HFRUNNER_ALLOW_HTTP-}" = 1 ] ||
      finish BadConfiguration "$hf_url is plain http: use https, or set HFRUNNER_ALLOW_HTTP=1" ;;
    *) finish BadConfiguration "HFRUNNER_RUNNER_BASE_URL must be an https address, not '$hf_url'" ;;
  esac
  # That a tool is there does not say that it starts: an image with libraries of its own can break the system's curl. What does
  # not start is left out, and what fails otherwise (certificates, say) lets the next one have the next try.
  hf_tools=
  for hf_tool in curl wget python3; do
    if has "$hf_tool"; then hf_tools="$hf_tools $hf_tool"; fi
  done
  [ -n "$hf_tools" ] ||
    finish MissingTool "the image has neither curl nor wget nor python3 to download the runner with"
  say "downloading $hf_url"
  hf_try=1
  while [ "$hf_try" -le 3 ]; do
    hf_tools=${hf_tools# }
    hf_first=${hf_tools%% *}
    hf_tools=${hf_tools#"$hf_first"}
    bounded fetch "$hf_first" "$hf_url" "$hf_state/$hf_archive"
    hf_code=$?
    if [ "$hf_code" = 0 ]; then
      adopt_archive "$hf_state/$hf_archive"
      rm -f "$hf_state/$hf_archive"
      return
    fi
    go_on
    # 126 and 127: it was not started, or the loader found no library or symbol; above: a signal ended it, as an illegal instruction.
    if [ "$hf_code" -ge 126 ] && [ -n "$hf_tools" ]; then
      say "warning: $hf_first does not start in this image (code $hf_code): trying$hf_tools"
      continue
    fi
    hf_tools="$hf_tools $hf_first"
    [ "$hf_try" = 3 ] || pause "$hf_retry"
    go_on
    hf_try=$((hf_try + 1))
  done
  failed DownloadFailed "$hf_url could not be downloaded in 3 tries"
}

prepare_runner() {
  name_archive
  if ! find_runner; then
    hf_origin=downloaded
    download_runner
  elif [ "${hf_found%.tar.gz}" != "$hf_found" ]; then
    hf_origin=$hf_found
    adopt_archive "$hf_found"
  else
    hf_origin=${hf_found%/bin/Runner.Listener}
    adopt_directory "$hf_origin"
  fi

  if [ "$HFRUNNER_PACKAGES" = install ]; then
    has_library libssl.so. || finish UnsupportedImage "the runner needs libssl, which the image lacks and could not be installed"
    if ! has_library libicuuc.so.; then
      say "warning: without libicu, .NET programs and so the runner know no cultures"
      export DOTNET_SYSTEM_GLOBALIZATION_INVARIANT=1
    fi
  fi
  # Also the proof that this image can run it at all, with a cause that the exit code of a later crash would not give.
  hf_log=$hf_state/version
  ACTIONS_RUNNER_PRINT_LOG_TO_STDOUT='' bounded "$HOME/bin/Runner.Listener" --version || {
    hf_code=$?
    if has_library ld-musl; then
      failed UnsupportedImage "the runner is built for glibc and cannot run on musl (Alpine): exit code $hf_code"
    fi
    failed UnsupportedImage "the runner cannot run in this image: Runner.Listener --version ended with code $hf_code"
  }
  hf_version=$(sed -n 's/^\([0-9][0-9.]*\).*/\1/p' "$hf_log" | tail -n 1)
}

# ------------------------------------------------------------------------------------------------------ facts, job hook
disk_of() { df -Pk "$1" 2>/dev/null | awk 'NR == 2 { printf "%.1f GiB free of %.1f GiB", $4 / 1048576, $2 / 1048576 }'; }

lifetime() {
  [ -n "$hf_end_by" ] || {
    echo 'Lifetime:  as long as the Hub lets it run'
    return
  }
  now
  hf_until=$(($(date +%s) + hf_end_by - hf_now))
  hf_until=$(date -u -d "@$hf_until" '+until %Y-%m-%d %H:%M:%S UTC' 2>/dev/null) || hf_until="$((hf_end_by - hf_now)) s are left"
  echo "Lifetime:  $hf_lifetime s, $hf_until; a workflow job that still runs then is cancelled"
}

facts() {
  hf_page=${HFRUNNER_HUB_URL:-https://huggingface.co}/jobs/${HFRUNNER_HF_NAMESPACE-}/${JOB_ID-}
  echo "Pool:      ${HFRUNNER_POOL:-unknown}"
  echo "Runner:    ${HFRUNNER_RUNNER_NAME:-unknown} (actions/runner $hf_version, $hf_origin)"
  echo "Flavor:    ${HFRUNNER_FLAVOR:-unknown}, USD ${HFRUNNER_PRICE_PER_HOUR:-unknown} per hour"
  lifetime
  [ -z "${JOB_ID-}" ] || echo "HF Job:    $hf_page"
  [ "${HFRUNNER_SSH-}" != true ] || [ -z "${JOB_ID-}" ] || echo "Shell:     ssh $JOB_ID@ssh.hf.jobs"
  hf_gpus=
  if has nvidia-smi; then
    hf_gpus=$(nvidia-smi --query-gpu=name,memory.total,driver_version --format=csv,noheader 2>/dev/null) || hf_gpus=
  fi
  if [ -n "$hf_gpus" ]; then
    printf '%s\n' "$hf_gpus" | sed 's/^/GPU:       /; s/\(, [^,]*\)$/\1 (driver)/'
  elif [ -n "${ACCELERATOR-}" ]; then
    echo "GPU:       $ACCELERATOR, though nvidia-smi does not work in this image"
  else
    echo "GPU:       none"
  fi
  echo "CPU:       ${CPU_CORES:-unknown} by the Hub, $(nproc 2>/dev/null || echo unknown) seen"
  echo "Memory:    ${MEMORY:-unknown} by the Hub, $(awk '/^MemTotal/ { printf "%.1f GiB", $2 / 1048576 }' /proc/meminfo 2>/dev/null) seen"
  echo "Disk:      $(disk_of "$HOME") at $HOME"
  echo "/dev/shm:  $(disk_of /dev/shm)"
  echo "User:      uid $hf_uid, HOME $HOME, tool cache $hf_tools"
  [ -S /var/run/docker.sock ] || echo "Docker:    none: container:, services: and Docker actions fail here; put the image into the pool"
}

# GitHub's documents tell people to set hooks in the runner's .env, which the Listener reads over its environment: ours
# goes to the file's end and calls theirs.
prepare_hook() {
  hf_hook=${ACTIONS_RUNNER_HOOK_JOB_STARTED-}
  if [ -f .env ]; then
    hf_line=$(sed -n 's/^ACTIONS_RUNNER_HOOK_JOB_STARTED=//p' .env | tail -n 1)
    [ -z "$hf_line" ] || {
      hf_hook=$hf_line
      printf '\nACTIONS_RUNNER_HOOK_JOB_STARTED=%s\n' "$hf_state/job-started.sh" >>.env
    }
  fi
  export ACTIONS_RUNNER_HOOK_JOB_STARTED="$hf_state/job-started.sh"
  export HFRUNNER_JOB_STARTED_HOOK="$hf_hook"
  cat >"$hf_state/job-started.sh" <<'HOOK'
# Prints what this machine is, then runs the image's own job-started hook in our place, as the runner would have.
hf_waited=0
while [ ! -e "${0%/*}/facts" ] && [ "$hf_waited" -lt 5 ]; do
  sleep 1
  hf_waited=$((hf_waited + 1))
done
cat "${0%/*}/facts" 2>/dev/null || echo 'The facts of this machine are not known yet.'
case ${HFRUNNER_JOB_STARTED_HOOK-} in
  '') ;;
  *.ps1) exec pwsh -command ". '$HFRUNNER_JOB_STARTED_HOOK'" ;;
  *.js) exec "$HOME/externals/node24/bin/node" "$HFRUNNER_JOB_STARTED_HOOK" ;;
  *)
    if command -v bash >/dev/null 2>&1; then
      exec bash --noprofile --norc -e -o pipefail "$HFRUNNER_JOB_STARTED_HOOK"
    fi
    exec sh -e "$HFRUNNER_JOB_STARTED_HOOK"
    ;;
esac
HOOK
  # In the background, as nvidia-smi takes a second, or for ever on a broken driver. Told first, and then given to the hook: a
  # job of no length ends this script as soon as the hook has them. Told by a builtin: a `cat` would outlive the process that
  # `finish` ends, and tell the facts after the marker.
  {
    hf_told=$(facts 2>/dev/null)
    printf '%s\n' "$hf_told"
    printf '%s\n' "$hf_told" >"$hf_state/facts.new" && mv "$hf_state/facts.new" "$hf_state/facts"
  } 2>/dev/null &
  hf_facts=$!
}

prepare_environment() {
  export LANG="${LANG:-C.UTF-8}"
  export DEBIAN_FRONTEND=noninteractive
  export RUNNER_TOOL_CACHE="$hf_tools" AGENT_TOOLSDIRECTORY="$hf_tools"
  export RUNNER_ALLOW_RUNASROOT=1 RUNNER_MANUALLY_TRAP_SIG=1
  export ACTIONS_RUNNER_RETURN_VERSION_DEPRECATED_EXIT_CODE=1 # 7 instead of 1
  export ACTIONS_RUNNER_RETURN_JOB_RESULT_FOR_HOSTED=1        # 100 + result instead of 0; undocumented, so never relied on
  # Some actions choose prebuilt tools by this name; only Ubuntu's exist.
  if [ -z "${ImageOS-}" ] && grep -q '^ID=ubuntu$' /etc/os-release 2>/dev/null; then
    hf_line=$(sed -n 's/^VERSION_ID="\{0,1\}\([0-9]*\).*/\1/p' /etc/os-release)
    export ImageOS="ubuntu$hf_line"
  fi
}

# ------------------------------------------------------------------------------------------------------------- listener
# Passes the Listener's output on line by line, and leaves a file for each event: files, because the shell that waits has
# no other way to be told without losing output, exit code or signals. The file comes before the line is printed.
watch_output() {
  trap '' HUP INT TERM PIPE
  # `true`, since a shell dies of a redirection that fails at `:`, and a workflow may have removed the directory.
  while IFS= read -r hf_line || [ -n "$hf_line" ]; do
    case $hf_line in
      *'Z: Listening for Jobs'*) true >"$hf_state/listening" ;;
      *'Z: Running job: '*) true >"$hf_state/job" ;;
      *'Z: Job '*' completed with result: '*) printf '%s\n' "${hf_line##* completed with result: }" >"$hf_state/result" ;;
      *'The runner registration has been deleted'* | *'The runner no longer exists on the server'*) true >"$hf_state/gone" ;;
      *'A session for this runner already exists'*) true >"$hf_state/conflict" ;;
      *'is deprecated and cannot receive messages'*) true >"$hf_state/deprecated" ;;
      hfrunner:*) hf_line="| $hf_line" ;; # a workflow job's name may hold a line feed and our marker
    esac 2>/dev/null
    printf '%s\n' "$hf_line" 2>/dev/null
  done
}

# A shell without job control starts background processes with SIGINT ignored, and what is ignored stays so. `env` puts it
# back; where it is too old to (coreutils before 8.31), SIGTERM ends the Listener too, only with 30 s for the job at most.
choose_signal() {
  hf_interrupt=TERM
  hf_launcher=
  if env --default-signal=INT,QUIT true 2>/dev/null; then
    hf_interrupt=INT
    hf_launcher='env --default-signal=INT,QUIT'
  fi
}

# shellcheck disable=SC2086 # hf_launcher is empty or two words
launch() {
  rm -f "$hf_state/output" "$hf_state/gone" "$hf_state/conflict" "$hf_state/deprecated"
  mkfifo -m 600 "$hf_state/output" || finish BootstrapFailed "cannot make a named pipe in $hf_state"
  watch_output <"$hf_state/output" &
  hf_reader=$!
  ACTIONS_RUNNER_INPUT_JITCONFIG=$hf_jit $hf_launcher "$HOME/bin/Runner.Listener" run </dev/null >"$hf_state/output" 2>&1 &
  hf_listener=$!
}

# end_listener OUTCOME SENTENCE
end_listener() {
  hf_ended=$1
  hf_why=$2
  hf_kill_at=$((hf_now + hf_stop))
  kill -s "$hf_interrupt" "$hf_listener" 2>/dev/null
}

# Waits until the Listener ended, by itself or because of a signal or a deadline, and sets hf_listener_exit.
#
# Ending an idle runner is a race that cannot be won from in here:
#   1. GitHub assigns a job to this runner.
#   2. We see no "Running job:" yet, and the idle deadline passes: SIGINT.
#   3. The Listener takes the job, and cancels it since it is shutting down. A person's job failed for nothing.
# Only GitHub can refuse step 1, when the controller deregisters an idle runner (204 proves idleness). So this deadline is
# the pool's plus a margin: it fires only when no controller is left to do it right. The check right before the signal
# leaves the time between GitHub's answer and the line in our file, well under a second; the marker tells when it was hit.
supervise() {
  hf_idle_by=
  hf_gone_by=
  hf_kill_at=
  hf_polls=0
  while kill -0 "$hf_listener" 2>/dev/null; do
    now
    # What was seen once holds: the workflow may remove our files.
    [ ! -e "$hf_state/job" ] || hf_ran=true
    [ -n "$hf_idle_by" ] || [ ! -e "$hf_state/listening" ] || hf_idle_by=$((hf_now + hf_idle + hf_idle_margin))
    if [ -z "$hf_gone_by" ] && [ -e "$hf_state/result" ]; then
      hf_gone_by=$((hf_now + hf_stop))
      hf_polls=0 # look more often, it is about to end
    fi
    [ -z "$hf_facts" ] || kill -0 "$hf_facts" 2>/dev/null || hf_facts= # its number may become another process's
    if [ -n "$hf_kill_at" ]; then
      [ "$hf_now" -lt "$hf_kill_at" ] || kill -KILL "$hf_listener" 2>/dev/null
    elif [ -n "$hf_gone_by" ]; then # its job is over: nothing that comes now is an end of its own
      if [ -n "$hf_signal" ]; then
        end_listener JobCompleted "the workflow job was run and reported to GitHub before SIG$hf_signal came"
      elif [ "$hf_now" -ge "$hf_gone_by" ]; then
        end_listener JobCompleted "the workflow job was run and reported to GitHub, yet its Listener stayed for $hf_stop s"
      fi
    elif [ -n "$hf_signal" ]; then
      end_listener Terminated "got SIG$hf_signal"
    elif expired; then
      hf_why=
      [ "$hf_ran" = false ] || hf_why='; the workflow job is cancelled; raise spec.deadlines.lifetime if it needs longer'
      end_listener LifetimeReached "lifetime of $hf_lifetime s reached$hf_why"
    elif [ "$hf_ran" = true ]; then
      true # no other deadline ends a runner that works
    elif [ -z "$hf_idle_by" ]; then
      [ "$hf_now" -lt "$hf_register_by" ] ||
        end_listener RegistrationTimeout "the runner did not reach GitHub within $hf_registration s"
    elif [ "$hf_idle" -gt 0 ] && [ "$hf_now" -ge "$hf_idle_by" ] && [ ! -e "$hf_state/job" ]; then
      end_listener IdleTimeout "no workflow job came within $hf_idle s, nor within $hf_idle_margin s more"
    fi
    poll
  done
  wait "$hf_listener"
  hf_listener_exit=$?
  # The reader ends with the last process that holds the Listener's output, which may be a stray one.
  hf_polls=0
  while kill -0 "$hf_reader" 2>/dev/null && [ "$hf_polls" -lt 30 ]; do
    poll
  done
  kill -KILL "$hf_reader" 2>/dev/null
  wait "$hf_reader" 2>/dev/null
  [ ! -e "$hf_state/job" ] || hf_ran=true
}

# wait_for_update: the update script moves the new version into place once the Listener is gone, then leaves a file.
wait_for_update() {
  hf_polls=0
  until [ -e update.finished ] || [ -n "$hf_signal" ] || [ "$hf_polls" -ge 90 ]; do poll; done
  rm -f update.finished
}

listen() {
  hf_failures=0
  hf_updates=0
  while :; do
    launch
    supervise
    if [ -n "$hf_ended" ] || [ "$hf_ran" = true ]; then return; fi
    case $hf_listener_exit in
      1 | 2)
        # 2 is "retryable": the network, mostly. A registration that is only seconds old may be unknown for a moment to the
        # part of GitHub that gives out sessions, and the Listener takes that for an end.
        hf_failures=$((hf_failures + 1))
        case $hf_listener_exit in
          1)
            if [ -e "$hf_state/listening" ] || [ ! -e "$hf_state/gone" ] || [ "$hf_failures" -ge 3 ]; then return; fi
            ;;
          2) [ "$hf_failures" -lt 5 ] || return 0 ;;
        esac
        say "the Listener ended with code $hf_listener_exit; starting it again in $hf_retry s"
        pause "$hf_retry"
        ;;
      3 | 4) # it updates itself, since GitHub wants a newer version
        hf_updates=$((hf_updates + 1))
        [ "$hf_updates" -le 3 ] || return 0
        say "the Listener updates itself and is started again"
        wait_for_update
        rm -f "$hf_state/listening"
        now
        hf_register_by=$((hf_now + hf_registration))
        ;;
      *) return 0 ;;
    esac
    if [ -n "$hf_signal" ]; then
      hf_ended=Terminated
      hf_why="got SIG$hf_signal between two starts of the Listener"
      return
    fi
    now
    if expired; then
      hf_ended=LifetimeReached
      hf_why="lifetime of $hf_lifetime s reached between two starts of the Listener"
      return
    fi
  done
}

# -------------------------------------------------------------------------------------------------------------- outcome
# What happened to the workflow job: from its line, else from the exit code.
read_result() {
  [ "$hf_ran" = false ] || hf_result=Unknown
  hf_line=
  [ ! -e "$hf_state/result" ] || read -r hf_line <"$hf_state/result"
  case $hf_line:$hf_listener_exit in
    Succeeded:* | SucceededWithIssues:* | Failed:* | Canceled:* | Skipped:* | Abandoned:*) hf_result=$hf_line ;;
    *:100) hf_result=Succeeded ;;
    *:101) hf_result=SucceededWithIssues ;;
    *:102) hf_result=Failed ;;
    *:103) hf_result=Canceled ;;
    *:104) hf_result=Skipped ;;
    *:105) hf_result=Abandoned ;;
    *) return 0 ;;
  esac
  hf_ran=true
}

conclude() {
  read_result
  # A job that ended by itself counts, whatever came next. One that we interrupted does not, unless it succeeded all the
  # same; the Listener reports it as failed or as canceled, depending on what the shutdown met.
  case $hf_ended:$hf_result in
    :none | :Unknown) ;;
    :* | *:Succeeded | *:SucceededWithIssues) finish JobCompleted "the workflow job was run and reported to GitHub: $hf_result" ;;
    RegistrationTimeout:none) finish RegistrationTimeout "$hf_why" ;;
    RegistrationTimeout:*) finish JobInterrupted "$hf_why, and took a workflow job meanwhile" ;;
    *) finish "$hf_ended" "$hf_why" ;;
  esac
  if [ "$hf_ran" = true ]; then
    [ "$hf_listener_exit" != 0 ] || finish JobCompleted "a workflow job was run; its result was not printed"
    # GitHub gave this runner a job, so its image, its version and its registration are good. What the codes and files below
    # say of a Listener that waits is no evidence here: a job can end processes and write files.
    finish JobInterrupted "the Listener ended with exit code $hf_listener_exit and did not say how its workflow job went"
  fi
  case $hf_listener_exit in
    3 | 4) finish UpdateFailed "the runner updated itself 3 times and wants to once more" ;;
    126 | 127) finish UnsupportedImage "$HOME/bin/Runner.Listener cannot be run here" ;;
  esac
  [ "$hf_listener_exit" -lt 128 ] || finish ListenerCrashed "the Listener died with exit code $hf_listener_exit"
  if [ "$hf_listener_exit" = 7 ] || [ -e "$hf_state/deprecated" ]; then
    finish VersionDeprecated "GitHub refuses runner version $hf_version: update the image, or the version that is downloaded"
  elif [ "$hf_listener_exit" = 5 ]; then
    finish SessionConflict "another runner uses this registration"
  elif [ -e "$hf_state/listening" ]; then
    if [ "$hf_listener_exit" = 0 ] || [ -e "$hf_state/gone" ]; then
      finish Deregistered "the registration was removed at GitHub while the runner was idle"
    fi
  elif [ -e "$hf_state/conflict" ]; then # a passing one is printed too, and then retried
    finish SessionConflict "another runner uses this registration"
  elif [ "$hf_listener_exit" -le 1 ]; then
    finish RegistrationRefused "GitHub did not accept the registration; the lines above have its words"
  fi
  finish ListenerFailed "the Listener gave up with exit code $hf_listener_exit"
}

read_settings
prepare_user
prepare_packages
go_on
prepare_runner
prepare_environment
prepare_hook
choose_signal
say "starting actions/runner $hf_version as ${HFRUNNER_RUNNER_NAME:-unnamed} for pool ${HFRUNNER_POOL:-unknown}"
listen
conclude
