# Each target is a script that also runs without make: sh scripts/demo, sh scripts/test, ...
.PHONY: install demo clean-demo test lint docs screenshots lock bench chaos slow fuzz fuzz-layers fuzz-api

install demo clean-demo test lint docs screenshots lock bench chaos slow fuzz fuzz-layers fuzz-api:
	@sh scripts/$@
