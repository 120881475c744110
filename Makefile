# Each target is a script that also runs without make: sh scripts/demo, sh scripts/test, ...
.PHONY: demo clean-demo test lint docs lock bench slow fuzz fuzz-layers fuzz-api

demo clean-demo test lint docs lock bench slow fuzz fuzz-layers fuzz-api:
	@sh scripts/$@
