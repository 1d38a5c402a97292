#!/usr/bin/env bash
# After `make up`: nothing if the machine has a kubectl that is new enough, else it is provided and its path is said.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
if found=$(command -v kubectl); then
    minor=$("$found" version --client -o json 2>/dev/null | sed -n 's/.*"minor": *"\([0-9]*\).*/\1/p' | head -n1)
    [ "${minor:-0}" -ge 31 ] && exit 0
fi
"$root/tests/tools/kubectl.sh"
echo "this machine has no kubectl >= 1.31; one is at $root/target/tools/kubectl:"
echo
echo "  export PATH=$root/target/tools:\$PATH"
