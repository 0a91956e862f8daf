"""`prism demo`: a real Weaviate in front of Prism, drawn objects, and searches whose right answers are known."""
