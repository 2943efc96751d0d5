#!/bin/sh
# A base image where no registry can be reached: Debian with its own Python 3.11, from Debian's packages alone.
#   sudo k8s/images/debian_base.sh podman localhost/base:bookworm
# Needs debootstrap.
set -eu
engine=$1
image=$2
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
debootstrap --variant=minbase --include=python3-pip,ca-certificates bookworm "$folder"
rm -rf "$folder"/var/cache/apt/* "$folder"/var/lib/apt/lists/*
tar -C "$folder" -c . | "$engine" import - "$image"
