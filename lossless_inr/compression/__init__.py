"""Tables 6 and 7: rates of codecs, of the exact coder and of RECOMBINER, all measured from files.

`settings` what is compressed at each scale, `images` the sets as arrays, `rates` rows of Table 6,
`recombined` files of RECOMBINER and what a fresh process reads from them, `tables` the rows beside
the printed ones and what they say of the paper's claims. The report only reads what these write.
"""
