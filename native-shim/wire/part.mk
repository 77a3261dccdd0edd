# The frame and its tables, linked into keeper and module alike.
WIRE_OBJECTS := $(patsubst %.c,$(BUILD)/obj/%.o,$(wildcard wire/*.c))
