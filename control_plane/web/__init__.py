"""HTTP of the control plane: routes as data, who is asking, problem documents, lists, the OpenAPI description."""
