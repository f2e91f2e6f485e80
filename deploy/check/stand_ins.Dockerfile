# What stands for images that are not ours where no engine can fetch them: the same programs as Debian has them.
FROM debian AS postgres-packages
RUN apt-get update \
    && apt-get install --yes --no-install-recommends postgresql \
    && install --directory --owner postgres --mode 0700 /var/lib/postgresql/data

FROM postgres-packages AS postgres
COPY deploy/check/postgres.sh /usr/local/bin/
USER postgres
WORKDIR /var/lib/postgresql
ENTRYPOINT ["sh", "/usr/local/bin/postgres.sh"]

FROM debian AS prometheus
RUN apt-get update \
    && apt-get install --yes --no-install-recommends prometheus \
    && install --directory --owner prometheus /prometheus
USER prometheus
WORKDIR /prometheus
ENTRYPOINT ["/usr/bin/prometheus"]
