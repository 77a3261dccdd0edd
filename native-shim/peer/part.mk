# The agent's add-on, against the headers of the pinned Node. A sanitized build has none: Node is not instrumented, and the
# agent loads build/peer.node whatever keeper it starts.
NODE_INCLUDE := $(firstword $(wildcard ../node_modules/node-linux-*/include/node ../../node-linux-*/include/node))

ifeq ($(SANITIZE),)
PROGRAMS += $(BUILD)/peer.node
endif

$(BUILD)/peer.node: OBJECT_CFLAGS = -isystem $(NODE_INCLUDE) -fvisibility=hidden
$(BUILD)/peer.node: $(BUILD)/obj/peer/peer.o $(BUILD)/obj/peer/ring.o $(BUILD)/obj/shared/wire/frame.o $(BUILD)/obj/shared/wire/buffer.o
	$(LINK) -shared -o $(NEW) $^
	@$(PLACE)
