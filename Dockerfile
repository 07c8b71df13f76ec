# The image that `make image` builds: one static binary, the configuration of compose.yaml, and nothing
# else, no shell either. So there is no base image to fetch or to keep patched.
#
# It runs as a user without rights. Its data and log files go to /data and /logs, for which compose.yaml
# has volumes; a volume that is new takes over their owner from here.
#
# The name of a node resolves in it (`--to raftian-1:8001`), though the C library that is linked in has
# no files to read beside it: it asks the server in /etc/resolv.conf, which Docker writes.
FROM scratch
COPY target/image/root/raftian /raftian
COPY config/docker.toml /etc/raftian.toml
COPY --chown=65534:65534 target/image/root/empty /data
COPY --chown=65534:65534 target/image/root/empty /logs
ENV RAFTIAN_CONFIG=/etc/raftian.toml RAFTIAN_DATA=/data RAFTIAN_LOGS=/logs TERM=xterm-256color
USER 65534:65534
ENTRYPOINT ["/raftian"]
CMD ["--help"]
