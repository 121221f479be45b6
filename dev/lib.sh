# shellcheck shell=bash
# What the scripts of this folder share. Sourced, never run.

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck disable=SC2034  # for those who source this
WORK=$ROOT/target/dev

# Progress and errors go to stderr: stdout belongs to the answer of a command.
say() { printf '%s\n' "$*" >&2; }
die() { say "error: $*"; exit 1; }

have() { command -v "$1" >/dev/null 2>&1; }

# install PACKAGE...: by apt-get as root, else says what to type and exits 3.
install() {
    if [[ $(id -u) == 0 ]] && have apt-get; then
        say "installing $*"
        { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@"; } \
            >/dev/null || die "apt-get could not install: $*"
    else
        say "missing packages; install them with"
        say "    sudo apt-get update && sudo apt-get install -y --no-install-recommends $*"
        exit 3
    fi
}

# within SECONDS COMMAND...: runs the command every 0.1 s until it succeeds; fails when the time is up.
within() {
    local end=$((SECONDS + $1))
    shift
    until "$@"; do
        ((SECONDS < end)) || return 1
        sleep 0.1
    done
}

listening() { (: <"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# A loopback port that nobody listens on, below the range that outgoing connections take theirs from.
free_port() {
    local port
    while :; do
        port=$((20000 + (RANDOM * 32768 + RANDOM) % 12000))
        listening "$port" || { printf '%s' "$port"; return; }
    done
}

# in_group COMMAND...: runs it as a process group of its own and returns its exit code;
# end_group ends that group with all it spawned, in at most $1 seconds.
GROUP=
in_group() {
    set -m
    "$@" </dev/null &
    GROUP=$!
    set +m
    wait "$GROUP"
}
end_group() {
    [[ -n $GROUP ]] || return 0
    kill -TERM -- "-$GROUP" 2>/dev/null || return 0
    within "$1" group_ended || kill -KILL -- "-$GROUP" 2>/dev/null || true
}
group_ended() { ! kill -0 -- "-$GROUP" 2>/dev/null; }
