#!/bin/sh
# Unpacks an archive of backup.sh into FOLDER, by default the current one.
set -eu

archive=$1
folder=${2:-.}

mkdir -p $folder
tar -xzf $archive -C $folder
