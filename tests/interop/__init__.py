"""Independent packages against our servers, and our client against theirs."""
