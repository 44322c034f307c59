"""The command line, in this process and as the child process a shell would start."""
