"""The runner behind `perf/run`, alternating runs of servers or of clusters, and `perf/snapshot`.

main             the command line of `run`, and what `snapshot` shares of it
machine          what this machine is, how busy it is, CPU time of a process
servers          how each server is started on its core, loaded with keys and ended
loads            one run of one load against one server: quorate-perf or redis-benchmark
cells            the table of what is measured, with the speed to reach
session          rounds of alternating runs, kept out of noisy windows
record           the dated record: Markdown to read, JSON to compute with

resp             a word with a Redis-protocol server
clusters         how clusters are started on loopback, and which of their nodes leads
cluster_cells, cluster_session, cluster_record   as their namesakes, for clusters
snapshot         `perf/snapshot`: a leader's latency while it sends a checkpoint

tests            of all of them, with every *_tests beside it

Only Python's standard library, so that it runs wherever the repository is checked out.
"""
