#!/usr/bin/env bash
# Makes the container images that the tests and the workshop use, without Docker and without a registry on the net:
#   - dockercoins/{rng,hasher,worker,webui}:v0.1, and rng and worker as v0.2 (examples/dockercoins);
#   - redis:7 and busybox:1 from Debian's packages, unpacked and not installed;
#   - proa/shell:1: bash, coreutils, curl and a few more programs of this machine.
# They lie in target/images/registry, the storage of a docker-registry, which serves them as they are; the last line
# printed is that folder. Made again only when this script, the sources or the C library change.
# Needs: cargo, skopeo, docker-registry, curl; root or not.
set -euo pipefail
export LC_ALL=C TZ=UTC0

root=$(cd "$(dirname "$0")/../.." && pwd)
out=$root/target/images
example=$root/examples/dockercoins
mkdir -p "$out"
exec 9>"$out/lock"
flock 9

inputs() {
    cat "$0"
    find "$example" -type f -not -path '*/target/*' -print0 | sort -z | xargs -0 sha256sum | sed "s#$root##"
    dpkg-query -W -f '${Package} ${Version}\n' libc6 coreutils curl
    uname -m
}
stamp=$(inputs | sha256sum)
if [ -e "$out/stamp" ] && [ "$(cat "$out/stamp")" = "$stamp" ]; then
    echo "$out/registry"
    exit 0
fi

work=$(mktemp -d "$out/work.XXXXXX")
registry=
finish() {
    [ -z "$registry" ] || { kill "$registry" 2>/dev/null && wait "$registry"; } || true
    rm -rf "$work"
}
trap finish EXIT

# --- contents ---------------------------------------------------------------------------------------------------

# An empty root with what a program expects besides its libraries.
skeleton() {
    local to=$1
    mkdir -p "$to"/{usr/bin,usr/sbin,usr/lib,usr/lib64,etc,tmp,root,run,var,proc,sys,dev}
    local name
    for name in bin sbin lib lib64; do ln -s "usr/$name" "$to/$name"; done
    chmod 1777 "$to/tmp"
    printf 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n' >"$to/etc/passwd"
    printf 'root:x:0:\nnogroup:x:65534:\n' >"$to/etc/group"
    # The C library resolves names as this file says.
    printf 'passwd: files\ngroup: files\nhosts: files dns\n' >"$to/etc/nsswitch.conf"
}

# Copies a file to the place it has, links in its path resolved; $3 is a prefix of the source that is left out.
add() {
    local to=$1 file=$2 from=${3:-}
    local folder
    folder=$(realpath -m "${file%/*}")
    folder=${folder#"$from"}
    case $folder in /bin* | /sbin* | /lib*) folder=/usr$folder ;; esac
    mkdir -p "$to$folder"
    [ -e "$to$folder/${file##*/}" ] || cp -L "$file" "$to$folder/${file##*/}"
}

# Copies the libraries of a program, and what the C library loads by itself to resolve names.
libraries() {
    local to=$1 program=$2 from=${3:-} found library
    found=$(LD_LIBRARY_PATH=$(find "${from:-/nowhere}" -name '*.so*' -printf '%h\n' 2>/dev/null | sort -u | paste -sd:) \
        ldd "$program" | sed -nE 's#^.* => (.+) \(0x.*#\1#p; s#^\s*(/[^ ]+) \(0x.*#\1#p; s#^\s*(.+) => not found#! \1#p')
    if [[ $found == *'! '* ]]; then
        echo "$program needs libraries that are not there:"$'\n'"$found" >&2
        return 1
    fi
    for library in $found; do
        case $library in
            "$from"/*) add "$to" "$library" "$from" ;;
            *) add "$to" "$library" ;;
        esac
    done
    local c
    c=$(dirname "$(grep -m1 -E '/libc\.so\.6$' <<<"$found")")
    for library in libnss_dns.so.2 libnss_files.so.2 libresolv.so.2; do
        [ ! -e "$c/$library" ] || add "$to" "$c/$library"
    done
}

# Downloads Debian packages, unless they are there, and unpacks them into one folder; nothing is installed.
unpack() {
    local to=$1 packages=$out/packages name missing=()
    shift
    mkdir -p "$packages" "$to"
    for name in "$@"; do compgen -G "$packages/${name}_*.deb" >/dev/null || missing+=("$name"); done
    if [ ${#missing[@]} -gt 0 ]; then
        (
            cd "$packages"
            apt-get download -qq "${missing[@]}" 2>/dev/null ||
                { apt-get update -qq >&2 && apt-get download -qq "${missing[@]}" >&2; }
        )
    fi
    for name in "$@"; do dpkg-deb -x "$packages/$name"_*.deb "$to"; done
}

# Libraries that a package depends on, but for those of the C library.
depends() {
    apt-cache depends --no-recommends --no-suggests --no-conflicts --no-breaks --no-replaces --no-enhances "$@" |
        sed -nE 's/^ *(Pre)?Depends: ((lib|lua-)[a-z0-9.+-]+)$/\2/p' | grep -vE '^libc6' | sort -u
}

# --- images -----------------------------------------------------------------------------------------------------

blob() {
    local layout=$1 file=$2 sum
    sum=$(sha256sum "$file" | cut -d' ' -f1)
    mv "$file" "$layout/blobs/sha256/$sum"
    echo "$sum"
}

# One image of one layer as an OCI layout: image NAME:TAG FOLDER VERSION COMMAND...
image() {
    local name=$1 from=$2 version=$3
    shift 3
    local layout=$work/layouts/${name//[:\/]/+} machine command
    mkdir -p "$layout/blobs/sha256"
    case $(uname -m) in x86_64) machine=amd64 ;; aarch64) machine=arm64 ;; *) machine=$(uname -m) ;; esac
    command=$(printf '"%s",' "$@")
    tar -C "$from" --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner --format=gnu -cf "$work/layer.tar" .
    local diff layer config manifest size
    diff=$(sha256sum "$work/layer.tar" | cut -d' ' -f1)
    gzip -n -6 "$work/layer.tar"
    size=$(stat -c %s "$work/layer.tar.gz")
    layer=$(blob "$layout" "$work/layer.tar.gz")
    cat >"$work/config" <<EOF
{"architecture":"$machine","os":"linux","config":{"Env":["PATH=/usr/sbin:/usr/bin:/sbin:/bin","VERSION=$version"],
"Cmd":[${command%,}]},"rootfs":{"type":"layers","diff_ids":["sha256:$diff"]}}
EOF
    local config_size
    config_size=$(stat -c %s "$work/config")
    config=$(blob "$layout" "$work/config")
    cat >"$work/manifest" <<EOF
{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json",
"config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"sha256:$config","size":$config_size},
"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar+gzip","digest":"sha256:$layer","size":$size}]}
EOF
    size=$(stat -c %s "$work/manifest")
    manifest=$(blob "$layout" "$work/manifest")
    echo '{"imageLayoutVersion":"1.0.0"}' >"$layout/oci-layout"
    cat >"$layout/index.json" <<EOF
{"schemaVersion":2,"manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json",
"digest":"sha256:$manifest","size":$size}]}
EOF
    echo "$name" >>"$work/images.txt"
}

dockercoins() {
    cargo build --quiet --release --locked --manifest-path "$example/Cargo.toml" --target-dir "$root/target/dockercoins" 9>&-
    local name
    for name in rng hasher worker webui; do
        skeleton "$work/$name"
        cp "$root/target/dockercoins/release/$name" "$work/$name/usr/bin/$name"
        libraries "$work/$name" "$root/target/dockercoins/release/$name"
        image "dockercoins/$name:v0.1" "$work/$name" v0.1 "/usr/bin/$name"
    done
    for name in rng worker; do image "dockercoins/$name:v0.2" "$work/$name" v0.2 "/usr/bin/$name"; done
}

redis() {
    local packages=$work/redis.packages name program
    # shellcheck disable=SC2046
    unpack "$packages" redis-server redis-tools $(depends redis-server redis-tools)
    skeleton "$work/redis"
    mkdir "$work/redis/data"
    for name in redis-server redis-cli; do
        add "$work/redis" "$packages/usr/bin/$name" "$packages"
        libraries "$work/redis" "$(realpath "$packages/usr/bin/$name")" "$packages"
    done
    # The image of that name has a shell.
    for program in /bin/sh /bin/sleep; do
        add "$work/redis" "$program"
        libraries "$work/redis" "$(realpath "$program")"
    done
    image library/redis:7 "$work/redis" 7 /usr/bin/redis-server --protected-mode no --dir /data --save ''
}

busybox() {
    local packages=$work/busybox.packages program name
    # The dynamic one: the static one cannot resolve names.
    unpack "$packages" busybox
    program=$(find "$packages" -name busybox -type f -path '*bin/*')
    skeleton "$work/busybox"
    cp "$program" "$work/busybox/usr/bin/busybox"
    libraries "$work/busybox" "$program"
    for name in $("$program" --list); do
        [ "$name" = busybox ] || ln -s busybox "$work/busybox/usr/bin/$name"
    done
    image library/busybox:1 "$work/busybox" 1 /bin/sh
}

shell() {
    skeleton "$work/shell"
    local name file
    for name in sh bash cat ls sleep echo env date hostname id mkdir rmdir rm cp mv ln touch head tail wc sort uniq tr cut \
        seq tee true false test printf printenv uname whoami stat chmod chown dd du df basename dirname readlink realpath \
        sha256sum md5sum base64 mktemp nohup timeout nproc stty sync yes od kill ps getent curl grep sed awk find xargs tar \
        gzip ip ping nc ss mount; do
        file=$(type -P "$name" || true)
        [ -n "$file" ] || continue
        add "$work/shell" "$file"
        # Scripts have no libraries.
        if head -c4 "$file" | grep -q ELF; then libraries "$work/shell" "$file"; fi
    done
    image proa/shell:1 "$work/shell" 1 /bin/bash
}

# --- registry ---------------------------------------------------------------------------------------------------

push() {
    cat >"$work/registry.yml" <<EOF
version: 0.1
log: {level: info}
storage: {filesystem: {rootdirectory: "$work/registry"}}
http: {addr: "127.0.0.1:0"}
EOF
    docker-registry serve "$work/registry.yml" >"$work/registry.log" 2>&1 9>&- &
    registry=$!
    local address= name
    # The log names the port that was free.
    address=$(timeout 30 tail -n +1 --pid="$registry" -f "$work/registry.log" 2>/dev/null 9>&- |
        grep -m1 -oE 'listening on [0-9.]+:[0-9]+' | cut -d' ' -f3) || true
    [ -n "$address" ] || { echo "docker-registry did not start:" >&2; cat "$work/registry.log" >&2; return 1; }
    while read -r name; do
        skopeo --insecure-policy copy --quiet --dest-tls-verify=false \
            "oci:$work/layouts/${name//[:\/]/+}" "docker://$address/$name"
    done <"$work/images.txt"
    kill "$registry"
    wait "$registry" 2>/dev/null || true
    registry=
}

dockercoins
redis
busybox
shell
push
rm -rf "$out/registry" "$out/stamp"
mv "$work/registry" "$work/images.txt" "$out/"
echo "$stamp" >"$out/stamp"
echo "$out/registry"
