#!/bin/sh
# Packs a folder into TARGET/NAME-DATE.tar.gz and prints the archive's path.
set -eu

folder=$1
target=${2:-$HOME/backups}
name=$(basename $folder)
archive=$target/$name-$(date +%Y-%m-%d).tar.gz

mkdir -p $target
tar -czf $archive -C $(dirname $folder) $name
echo $archive
