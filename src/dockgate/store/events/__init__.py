"""Events, the rules that apply to them, and what is still to be sent because of them."""
