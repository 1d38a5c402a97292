#!/usr/bin/env bash
# Makes an image of a program without Docker: image.sh PROGRAM FILE [NAME:TAG]. The file is what `docker save` would write, so
# `proa image load FILE`, `docker load` and `skopeo copy docker-archive:FILE` take it. The image has the program, the
# libraries that it is linked with, and nothing else.
set -euo pipefail
program=$(realpath "$1") file=$2 name=${3:-webserver-operator:0.1.0}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/root" "$work/image"
install -D "$program" "$work/root/usr/bin/${program##*/}"
strip "$work/root/usr/bin/${program##*/}"
# Lines such as `libm.so.6 => /lib/… (0x…)` and `/lib64/ld-linux-x86-64.so.2 (0x…)`; a static program has none.
for library in $(ldd "$program" 2>/dev/null | grep -o '/[^ ]* (0x' | cut -d' ' -f1); do
    install -D "$(realpath "$library")" "$work/root$library"
done
tar -C "$work/root" --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner -cf "$work/image/layer.tar" .
case $(uname -m) in x86_64) machine=amd64 ;; aarch64) machine=arm64 ;; *) machine=$(uname -m) ;; esac
layer=$(sha256sum "$work/image/layer.tar" | cut -d' ' -f1)
cat >"$work/image/config.json" <<JSON
{"architecture":"$machine","os":"linux","config":{"Env":["PATH=/usr/bin"],"Cmd":["/usr/bin/${program##*/}"]},
"rootfs":{"type":"layers","diff_ids":["sha256:$layer"]}}
JSON
echo "[{\"Config\":\"config.json\",\"RepoTags\":[\"$name\"],\"Layers\":[\"layer.tar\"]}]" >"$work/image/manifest.json"
tar -C "$work/image" -cf "$file" manifest.json config.json layer.tar
