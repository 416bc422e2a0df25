-- Where records that have just come stand, without a look at all the others: the feed of new records asks for them.

alter table record{on_cluster} add index if not exists received_seen received_at type minmax granularity 1;
