"""The declarative file: what should be, as one text. `apply` makes the overlay database so, `diff` tells what is
different, `export` writes it.

    file   --yaml_nodes--> nodes --read--> Document (wanted)  \\
                                                               difference --> changes --enact--> draft
    rows                     --present--> Document (present)  /
    file   <-----------------------write-- Document (present)
"""
