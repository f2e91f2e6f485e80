#!/bin/sh
# As the image of PostgreSQL begins: an empty volume becomes a database of the user and the password that are told.
set -eu
data=/var/lib/postgresql/data
bin=$(echo /usr/lib/postgresql/*/bin)
if [ ! -s "$data/PG_VERSION" ]; then
    printf %s "$POSTGRES_PASSWORD" > /tmp/password
    "$bin/initdb" --pgdata="$data" --username="$POSTGRES_USER" --auth=scram-sha-256 \
        --pwfile=/tmp/password --encoding=UTF8 --locale=C.UTF-8
    rm /tmp/password
    "$bin/pg_ctl" --pgdata="$data" --wait --options="-c listen_addresses='' -k /tmp" start
    PGPASSWORD=$POSTGRES_PASSWORD "$bin/createdb" --host=/tmp --username="$POSTGRES_USER" "$POSTGRES_DB"
    "$bin/pg_ctl" --pgdata="$data" --wait stop
fi
exec "$bin/postgres" -D "$data" -c "listen_addresses=*" -k /tmp
