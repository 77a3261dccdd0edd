# sidekey-keeper, its C tests and its fuzz targets. Everything but main.c goes into each test.
KEEPER_SOURCES := $(filter-out keeper/main.c,$(wildcard keeper/*.c keeper/engine/*.c))
KEEPER_OBJECTS := $(patsubst %.c,$(BUILD)/obj/%.o,$(KEEPER_SOURCES))
KEEPER_LIBS := -lcrypto -lseccomp -pthread
KEEPER_TESTS := $(patsubst ../test/native-shim/%.c,%,$(wildcard ../test/native-shim/keeper_*.c ../test/native-shim/wire_*.c))
KEEPER_FUZZ := $(patsubst ../test/fuzz/%.c,%,$(wildcard ../test/fuzz/keeper_*.c))

PROGRAMS += $(BUILD)/sidekey-keeper
TESTS += $(KEEPER_TESTS:%=$(BUILD)/test/%) $(KEEPER_FUZZ:%=$(BUILD)/test/replay_%)
FUZZERS += $(KEEPER_FUZZ:%=$(BUILD)/%)

$(BUILD)/sidekey-keeper: $(BUILD)/obj/keeper/main.o $(KEEPER_OBJECTS) $(WIRE_OBJECTS)
	$(LINK) -pie -o $(NEW) $^ $(KEEPER_LIBS)
	@$(PLACE)

$(KEEPER_TESTS:%=$(BUILD)/test/%): $(BUILD)/test/%: $(BUILD)/obj/test/native-shim/%.o $(KEEPER_OBJECTS) $(WIRE_OBJECTS)
	@mkdir -p $(@D)
	$(LINK) -o $@ $^ $(KEEPER_LIBS)

# The fuzz target with a plain main that runs the files it is given and prints TAP.
$(KEEPER_FUZZ:%=$(BUILD)/test/replay_%): $(BUILD)/test/replay_%: $(BUILD)/obj/test/fuzz/%.o \
		$(BUILD)/obj/test/fuzz/replay.o $(KEEPER_OBJECTS) $(WIRE_OBJECTS)
	@mkdir -p $(@D)
	$(LINK) -o $@ $^ $(KEEPER_LIBS)

$(KEEPER_FUZZ:%=$(BUILD)/%): $(BUILD)/%: $(BUILD)/obj/test/fuzz/%.o $(KEEPER_OBJECTS) $(WIRE_OBJECTS)
	@mkdir -p $(@D)
	$(CC) -fsanitize=fuzzer,address,undefined -o $@ $^ $(KEEPER_LIBS)

.SECONDARY:
