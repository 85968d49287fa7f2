# shellcheck shell=bash
# What the scripts of contrib share: words to the user, and Debian packages.

say() {
    printf '%s\n' "$*"
}

fail() {
    printf '%s: %s\n' "$(basename "$0")" "$*" >&2
    exit 1
}

# Installs those of the named Debian packages that are missing.
need_packages() {
    local missing=() name root=()

    command -v dpkg-query > /dev/null || {
        say "This is no Debian: make sure that the likes of these are installed:"
        say "  $*"
        return 0
    }
    for name; do
        [[ $(dpkg-query -W -f '${db:Status-Status}' "$name" 2> /dev/null) == installed ]] ||
            missing+=("$name")
    done
    ((${#missing[@]})) || return 0
    if (($(id -u) != 0)); then
        command -v sudo > /dev/null ||
            fail "these packages are missing, and there is no sudo to install them: ${missing[*]}"
        root=(sudo)
    fi
    say "Installing ${missing[*]}"
    "${root[@]}" apt-get update -q > /dev/null ||
        fail "apt-get update did not work"
    "${root[@]}" env DEBIAN_FRONTEND=noninteractive \
        apt-get install -q -y --no-install-recommends "${missing[@]}" > /dev/null ||
        fail "apt-get could not install ${missing[*]}"
}

# What the build needs, and what the tests need beyond it.
# shellcheck disable=SC2034 # used by those that read this file
build_packages=(autoconf automake pkg-config gcc libc6-dev make libevent-dev
    libssl-dev libsofia-sip-ua-dev libjansson-dev libsqlite3-dev)
# shellcheck disable=SC2034
test_packages=(clang iproute2 libcmocka-dev perl python3 openssl sip-tester
    baresip-core linphone-cli sipsak mandoc shellcheck valgrind xz-utils)
