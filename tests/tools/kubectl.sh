#!/usr/bin/env bash
# Puts upstream's kubectl 1.37 at target/tools/kubectl, from the first source that works:
#   1. upstream's release download, checked against its sha256;
#   2. its Go module (tests/tools/kubectl), where a Go is found that is new enough or can fetch its own toolchain;
#   3. the kubectl on the PATH, if it is 1.31 or newer.
# Silent when there is nothing to do; otherwise the last line says which source was used.
set -euo pipefail

version=v1.37.2
root=$(cd "$(dirname "$0")/../.." && pwd)
tools=$root/target/tools
out=$tools/kubectl
stamp=$tools/kubectl-$version.stamp

[ -x "$out" ] && [ -e "$stamp" ] && exit 0
mkdir -p "$tools"
work=$(mktemp -d "$tools/kubectl.XXXXXX")
trap 'rm -rf "$work"' EXIT

case $(uname -m) in
    x86_64) arch=amd64 ;;
    aarch64 | arm64) arch=arm64 ;;
    *) arch=$(uname -m) ;;
esac

download() {
    local url=https://dl.k8s.io/release/$version/bin/linux/$arch/kubectl
    command -v curl >/dev/null || return 1
    curl -fsSL --connect-timeout 5 --max-time 20 -o "$work/sum" "$url.sha256" 2>/dev/null || return 1
    curl -fsSL --connect-timeout 5 --max-time 300 -o "$work/kubectl" "$url" || return 1
    echo "$(cat "$work/sum")  $work/kubectl" | sha256sum --check --quiet
}

build() {
    command -v go >/dev/null || return 1
    local flags="-s -w" package
    for package in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
        flags+=" -X $package.gitVersion=$version -X $package.gitMajor=1 -X $package.gitMinor=37"
        flags+=" -X $package.gitTreeState=clean"
    done
    echo "kubectl: building $version from its Go module (a few minutes the first time)" >&2
    (cd "$root/tests/tools/kubectl" &&
        CGO_ENABLED=0 GOTOOLCHAIN=auto GOFLAGS=-mod=readonly \
            go build -trimpath -buildvcs=false -ldflags "$flags" -o "$work/kubectl" .)
}

# Debian's kubectl is 1.20: too old to speak today's API.
installed() {
    local found minor
    found=$(PATH=${PATH//$tools:/} command -v kubectl) || return 1
    minor=$("$found" version --client -o json 2>/dev/null | sed -n 's/.*"minor": *"\([0-9]*\).*/\1/p' | head -n1)
    [ "${minor:-0}" -ge 31 ] || return 1
    ln -s "$found" "$work/kubectl"
}

if download; then
    source="upstream's release download"
elif build; then
    source="its Go module"
elif installed; then
    mv -f "$work/kubectl" "$out"
    echo "kubectl: using $(readlink "$out") from the PATH, which is not $version" >&2
    exit 0
else
    echo "kubectl: none to be had. Needed is one of: access to dl.k8s.io; Go >= 1.26 (or >= 1.21 that may" >&2
    echo "fetch a toolchain) with access to its module proxy; a kubectl >= 1.31 on the PATH." >&2
    exit 1
fi
chmod +x "$work/kubectl"
mv -f "$work/kubectl" "$out"
touch "$stamp"
echo "kubectl: $version from $source" >&2
