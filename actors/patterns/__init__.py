"""Ways of working together: topics, pipelines, requests, documents, families."""
