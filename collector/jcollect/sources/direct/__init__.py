"""The direct lane as a source: traced processes write records to memory that they share with jcollect."""
