module unpack

go 1.24
