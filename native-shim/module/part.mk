# The module: libc only, three exported symbols.
MODULE_SOURCES := $(wildcard module/*.c) wire/buffer.c wire/cipher_length.c wire/digest_state.c wire/frame.c wire/mechanism.c wire/params.c wire/template.c wire/tls.c
MODULE_OBJECTS := $(MODULE_SOURCES:%.c=$(BUILD)/obj/shared/%.o)
MODULE_TESTS := $(notdir $(basename $(wildcard ../test/native-shim/module_*.c)))
MODULE_FUZZ := $(patsubst ../test/fuzz/%.c,%,$(wildcard ../test/fuzz/module_*.c))
# A sanitised object leaves the runtime's symbols to the program that loads it.
MODULE_DEFS := $(if $(SANITIZE),,-Wl,-z,defs)
# No start files: a guest has neither constructor nor destructor, not even the empty ones.
MODULE_START := $(if $(SANITIZE),,-nostartfiles)

# What a guest exports is said in module.map alone. Checked printf's (__snprintf_chk) are glibc's own, and hosts may have musl.
$(BUILD)/obj/shared/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -U_FORTIFY_SOURCE -fvisibility=hidden -MMD -MP -c -o $@ $<

$(BUILD)/sidekey-pkcs11.so: $(MODULE_OBJECTS) module/module.map
	$(LINK) -shared $(MODULE_START) -Wl,--as-needed $(MODULE_DEFS) -Wl,--version-script=module/module.map -o $(NEW) $(MODULE_OBJECTS)
	@$(PLACE)

MODULE_PEER := $(patsubst %,$(BUILD)/obj/test/native-shim/%.o,peer peer_answers peer_objects peer_tap)

# The tests link the module's objects: no loader between the sanitisers and what they look at.
$(MODULE_TESTS:%=$(BUILD)/test/%): $(BUILD)/test/%: $(BUILD)/obj/test/native-shim/%.o $(MODULE_PEER) $(MODULE_OBJECTS)
	@mkdir -p $(@D)
	$(LINK) -o $@ $^

$(MODULE_FUZZ:%=$(BUILD)/test/replay_%): $(BUILD)/test/replay_%: $(BUILD)/obj/test/fuzz/%.o $(BUILD)/obj/test/fuzz/replay.o $(MODULE_OBJECTS)
	@mkdir -p $(@D)
	$(LINK) -o $@ $^

$(MODULE_FUZZ:%=$(BUILD)/%): $(BUILD)/%: $(BUILD)/obj/test/fuzz/%.o $(MODULE_OBJECTS)
	@mkdir -p $(@D)
	$(CC) -fsanitize=fuzzer,address,undefined -o $@ $^

PROGRAMS += $(BUILD)/sidekey-pkcs11.so
TESTS += $(MODULE_TESTS:%=$(BUILD)/test/%) $(MODULE_FUZZ:%=$(BUILD)/test/replay_%)
FUZZERS += $(MODULE_FUZZ:%=$(BUILD)/%)
