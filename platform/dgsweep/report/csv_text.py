"""Tables of millions of rows as CSV: by column, since pandas takes minutes where it goes cell by cell."""

import io

import pandas as pd
import pyarrow as pa
from pyarrow import csv


def long_csv(table: pd.DataFrame) -> bytes:
    """The table as CSV, as pandas writes it: True and False, nothing for what is not defined.

    Whole numbers among real ones have no `.0`, which no reader of CSV tells apart.
    """
    flags = {str(name): table[name].map({True: "True", False: "False"}) for name in table.select_dtypes("bool")}
    stream = io.BytesIO()
    stream.write((",".join(table.columns) + "\n").encode())
    columns = pa.Table.from_pandas(table.assign(**flags), preserve_index=False)
    csv.write_csv(columns, stream, csv.WriteOptions(include_header=False, quoting_style="needed"))
    return stream.getvalue()
