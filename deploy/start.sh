#!/bin/sh
# What every container begins with. WRITES names the folders that its user must be able to write to, with blanks between.
set -u

refuse() { printf 'error: %s\n  where:    %s\n  found:    %s\n  remedy:   %s\n' "$1" "$2" "$3" "$4" >&2; exit 2; }

user=$(id -u)
for folder in ${WRITES:-}; do
    [ -d "$folder" ] || refuse "a volume that is not mounted" "$folder" "no such folder" "mount a volume there"
    # `test -w` would ask for permission only: the disk may be full, or mounted for reading.
    if ! said=$( (head -c 4096 /dev/zero > "$folder/.written.$$") 2>&1); then
        rm -f "$folder/.written.$$"
        refuse "a volume that user $user of this container cannot write to" "$folder" \
            "$(ls -nd "$folder" | cut -d' ' -f1,3,4): ${said##*: }" \
            "give it to that user: chown -R $user <the folder on the host>; or use a named volume; see that its disk has room"
    fi
    rm -f "$folder/.written.$$"
done
exec "$@"
