"""Who may do what with what agents share: grants, owners, boundaries, isolation, the audit."""
