"""Azure's doors to models that speak OpenAI's dialect: a resource's own host, a key or a tenant's token."""
