"""What is tested: implementations, their environments, databases and servers."""
