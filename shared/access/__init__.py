"""Who may do what with shared things: grants, owners, boundaries, isolation, the audit."""
