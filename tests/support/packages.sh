#!/bin/sh
# Sees that the programs which end-to-end and browser tests need are there: Prometheus,
# Alertmanager and Chromium. `make test` calls it. With root and apt-get it installs what is
# missing. Without, it says in one line which tests will be left out; in CI that is an error.
set -eu
cd "$(dirname "$0")/../.."

missing() {
    "${BATON_PYTHON:-python3}" -m tests.support.programs
}

install() {
    # The programs are wanted, not the services that their packages would start.
    if [ ! -e /usr/sbin/policy-rc.d ]; then
        trap 'rm -f /usr/sbin/policy-rc.d' EXIT
        printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
        chmod 755 /usr/sbin/policy-rc.d
    fi
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq && apt-get install -qq -y --no-install-recommends "$@"
}

wanted=$(missing)
[ -n "$wanted" ] || exit 0

packages=$(printf '%s\n' "$wanted" | cut -f 1 | tr '\n' ' ')
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "Installing for the tests: $packages" >&2
    log=$(mktemp)
    # One name a word: package names hold no blanks.
    # shellcheck disable=SC2086
    install $packages >"$log" 2>&1 || tail -n 20 "$log" >&2
    rm -f "$log"
    wanted=$(missing)
    [ -n "$wanted" ] || exit 0
fi

packages=$(printf '%s\n' "$wanted" | cut -f 1 | tr '\n' ' ')
tests=$(printf '%s\n' "$wanted" | cut -f 2 | paste -s -d ';' | sed 's/;/; /g')
case "${CI:-}" in
    1 | true | TRUE | True)
        echo "*** ERROR: in CI no test is left out, and these are missing: $packages***" >&2
        exit 1
        ;;
esac
echo "*** LEFT OUT: $tests. Missing: ${packages% }. As root: apt-get install ${packages% } ***" >&2
