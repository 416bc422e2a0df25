"""The ClickHouse engine in a process of its own, behind as much of ClickHouse's HTTP interface as its client needs.

`python -m embedded.clickhouse` opens one data folder with the engine (chdb) and serves it on a port of the loopback, so
that the unmodified async client of `clickhouse-connect` works with it as with a server, from any number of processes.
The engine allows that neither way by itself: a data folder belongs to one process, and a process that forks after the
engine was loaded hangs. So it is loaded here and nowhere else, and nothing here forks.

What it speaks: `GET /ping`. `POST /` with basic authentication; the statement in the body, or in `query`, and then the
body is its data; bodies plain or compressed (lz4, zstd, gzip, deflate), chunked or not. `database`, `default_format`,
`query_id`; bound parameters `param_NAME`, in the address or in a form; any other name is a setting, for this statement
alone. Answers in any format of the engine's, whole and plain, with its summary; errors with ClickHouse's code and name.
Each statement has a handle of its own: nothing it sets outlives it. What only reads ends when its caller leaves.

What it does not speak: sessions (`session_id` is ignored: no temporary tables, no `SET` that lasts), external data,
users, roles, compressed answers, ClickHouse's native framing (`compress`, `decompress`), progress headers, several
statements in one request, answers that begin before the statement has ended, `GET` with a statement, TLS. What the
engine lacks: users, grants and row policies, replicated and distributed tables, the query log, backups to a file.
"""
