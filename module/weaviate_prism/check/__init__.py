"""`prism check`: looks at a running Weaviate and the Prism behind it, and says what is wrong and how to cure it."""
