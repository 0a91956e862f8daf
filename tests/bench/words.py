"""The words of all texts, which the tokenizers of `models.py` learn."""

COMMON = """
the of and to in a is that for it as was with be by on not he his but at are this have from or had an they which one
you were all her she there would their we him been has when who will no more if out so up said what its about than
into them can only other time new some could these two may first then do any like my now over such our man even most
made after also well water light house paper green river stone garden window bridge
"""
WORDS = COMMON.split()
