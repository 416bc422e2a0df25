"""From nouns to what travels: revisions, sealed resources, the signed lease."""
