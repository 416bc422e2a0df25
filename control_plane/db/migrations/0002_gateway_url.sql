-- Where callers reach a gateway, told to whoever reads about it; the control plane never connects to it.
alter table gateway add column url text check (length(url) <= 300);
