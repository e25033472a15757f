"""Other wordings of every class name, in English and Chinese, so that a text tower learns which texts mean the same
action and which mean its reversal.

A wording of a reversible action states its direction in time. Wordings that start with a participle ("getting up") fit
wherever a class name does; the others ("gets up from the chair") are whole predicates.
"""

NUM_HELD_OUT = 2
"""How many English wordings of each class, the last ones of its row, are kept out of training for measurements."""

# fmt: off
WORDINGS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "sitting down": (
        ("taking a seat", "sitting down on a chair", "lowering oneself onto a chair", "going from standing to sitting",
         "sinking into a chair", "sits down on the chair", "takes a seat",
         "getting seated on a chair", "lowers the body onto a seat"),
        ("坐到椅子上", "在椅子上坐下", "从站立到坐下", "落座", "弯腿坐到座位上"),
    ),
    "standing up": (
        ("getting up from a chair", "rising from a chair", "going from sitting to standing", "leaving the seat",
         "standing up from a seat", "gets up from the chair", "rises from the chair",
         "getting up from the seat", "stands up from the chair"),
        ("从椅子上站起来", "从座位上起身", "从坐着到站立", "起立", "离开座位站起身"),
    ),
    "picking up an object": (
        ("lifting something off the floor", "taking something up from the ground", "picking something up",
         "bending down and coming up with an object", "raising an object from the floor",
         "picks up a thing from the floor", "lifts an object off the ground",
         "picking up a thing from the ground", "lifts something up from the floor"),
        ("从地上捡起东西", "拾起物品", "弯腰把东西拿起来", "把地上的东西抱起来", "捡东西"),
    ),
    "putting down an object": (
        ("setting something on the floor", "placing something on the ground", "putting something down",
         "bending down and leaving an object on the floor", "lowering an object to the floor",
         "puts a thing down on the floor", "sets an object on the ground",
         "putting a thing down on the ground", "places something on the floor"),
        ("把东西放到地上", "放置物品", "弯腰把东西放下去", "把手里的东西搁在地上", "放东西"),
    ),
    "opening a door": (
        ("pulling a door open", "swinging a door open", "opening up the door", "making a closed door open",
         "moving a door from shut to open", "opens the door", "pulls the door open",
         "opening the closed door", "swings the door open"),
        ("把门打开", "打开房门", "把关着的门拉开", "拉开门", "让门从关到开"),
    ),
    "closing a door": (
        ("pushing a door shut", "shutting a door", "closing up the door", "making an open door close",
         "moving a door from open to shut", "closes the door", "pushes the door shut",
         "closing the open door", "shuts the door"),
        ("把门关上", "关上房门", "把开着的门推上", "合上门", "让门从开到关"),
    ),
    "raising both arms": (
        ("lifting both arms", "putting both arms up", "bringing the arms up above the head",
         "moving the arms upwards", "reaching up with both arms", "raises the arms", "lifts both hands above the head",
         "lifting the arms upwards", "raises both arms above the head"),
        ("抬起双臂", "把双手举起来", "双臂从下往上抬", "把胳膊抬高", "两臂上举"),
    ),
    "lowering both arms": (
        ("dropping both arms", "putting both arms down", "bringing the arms down to the sides",
         "moving the arms downwards", "letting both arms sink", "lowers the arms", "drops both hands to the sides",
         "dropping the arms downwards", "lowers both arms to the sides"),
        ("垂下双臂", "把双手放下来", "双臂从上往下落", "把胳膊放低", "两臂下落"),
    ),
    "walking forwards": (
        ("walking ahead", "going forward on foot", "stepping forwards", "walking straight ahead",
         "taking steps to the front", "walks forwards", "strides ahead",
         "stepping ahead on foot", "walks straight forward"),
        ("往前走", "朝前走路", "向前迈步", "正着走", "向前行走"),
    ),
    "walking backwards": (
        ("walking in reverse", "going backward on foot", "stepping backwards", "walking with the back first",
         "taking steps to the rear", "walks backwards", "backs away step by step",
         "stepping in reverse on foot", "walks straight backward"),
        ("往后走", "倒退着走路", "向后迈步", "后退", "向后行走"),
    ),
    "waving a hand": (
        ("waving hello", "waving with one arm", "greeting with a wave", "moving a raised hand from side to side",
         "giving a wave", "waves a hand", "waves hello", "waving with a raised hand", "greets with a wave"),
        ("招手", "挥手打招呼", "举着一只手左右摆动", "向人挥手", "摆手致意"),
    ),
    "clapping slowly": (
        ("clapping the hands slowly", "applauding at a slow pace", "clapping in a slow rhythm",
         "slowly bringing the hands together again and again", "giving slow applause", "claps slowly",
         "applauds at a slow pace", "slowly clapping the hands", "claps in a slow rhythm"),
        ("慢慢鼓掌", "缓慢地拍手", "慢节奏地拍手", "一下一下慢慢地拍掌"),
    ),
    "clapping quickly": (
        ("clapping the hands fast", "applauding at a quick pace", "clapping in a fast rhythm",
         "quickly bringing the hands together again and again", "giving rapid applause", "claps quickly",
         "applauds at a fast pace", "quickly clapping the hands", "claps in a quick rhythm"),
        ("快速鼓掌", "飞快地拍手", "快节奏地拍手", "一下接一下飞快地拍掌"),
    ),
    "running": (
        ("jogging", "running fast", "sprinting", "moving at a run", "going for a run", "runs along", "jogs along",
         "running along at a fast pace", "sprints along"),
        ("奔跑", "跑动", "慢跑", "快跑", "小跑"),
    ),
    "doing push-ups": (
        ("doing a push-up", "training with push-ups", "pushing the body up from the floor again and again",
         "exercising the arms face down on the floor", "performing press-ups", "does push-ups",
         "exercises with push-ups", "performing push-ups on the floor", "does press-ups on the floor"),
        ("练俯卧撑", "趴在地上做俯卧撑", "用双臂反复撑起身体", "俯身撑地锻炼"),
    ),
    "reading a book": (
        ("reading", "looking into a book", "sitting with an open book", "studying a book", "reading in a book",
         "reads a book", "looks at the pages of a book", "reading the pages of a book", "studies an open book"),
        ("读书", "阅读书本", "坐着读一本书", "翻书看", "捧着书看"),
    ),
    "doing a handstand": (
        ("standing on the hands", "balancing upside down", "standing upside down on both hands",
         "holding a handstand", "balancing on both hands", "does a handstand", "stands on the hands",
         "balancing upside down on the hands", "holds a handstand"),
        ("用手倒立", "双手撑地倒着立", "头朝下倒立", "倒立着保持平衡"),
    ),
    "talking on the phone": (
        ("making a phone call", "speaking into a phone", "having a call", "holding a phone to the ear",
         "phoning somebody", "talks on the phone", "makes a call", "speaking on the phone", "holds a phone to the ear"),
        ("讲电话", "用手机通话", "拿着手机打电话", "接电话", "把电话贴在耳边说话"),
    ),
    "pushing a box": (
        ("shoving a large box", "pushing a heavy box away", "moving a box ahead by pushing",
         "sliding a box forwards across the ground", "pressing against a box so that it slides ahead",
         "pushes a box", "shoves the box ahead", "pushing the large box ahead", "shoves a heavy box away"),
        ("把箱子往前推", "推着大箱子", "用力推动箱子", "顶着箱子向前移", "推走大箱子"),
    ),
    "pulling a box": (
        ("dragging a large box", "pulling a heavy box closer", "moving a box along behind by pulling",
         "dragging a box backwards across the ground", "tugging at a box so that it follows",
         "pulls a box", "drags the box along", "pulling the large box along", "drags a heavy box closer"),
        ("把箱子往后拉", "拖着大箱子", "用力拉动箱子", "拽着箱子向后移", "拖走大箱子"),
    ),
    "throwing a ball": (
        ("tossing a ball", "throwing a ball away", "hurling a ball ahead", "letting a ball fly out of the hands",
         "sending a ball through the air", "throws a ball", "tosses the ball away",
         "tossing the ball ahead", "throws the ball through the air"),
        ("把球扔出去", "抛球", "投球", "把球抛向前方", "将手里的球掷出"),
    ),
    "catching a ball": (
        ("receiving a ball", "catching a flying ball", "grabbing a ball out of the air",
         "getting hold of a ball that comes flying", "taking a ball from the air", "catches a ball",
         "grabs the flying ball", "catching the ball in the hands", "catches the ball out of the air"),
        ("把球接住", "接住飞来的球", "双手接球", "抓住空中的球", "将飞来的球抱住"),
    ),
    "climbing up a ladder": (
        ("going up a ladder", "ascending a ladder", "climbing to the top of a ladder", "moving up the rungs",
         "stepping up a ladder rung by rung", "climbs up a ladder", "goes up the ladder",
         "climbing up the rungs", "ascends the ladder"),
        ("沿梯子往上爬", "登上梯子", "上梯子", "一级一级向上爬梯", "顺着梯子爬高"),
    ),
    "climbing down a ladder": (
        ("going down a ladder", "descending a ladder", "climbing to the bottom of a ladder", "moving down the rungs",
         "stepping down a ladder rung by rung", "climbs down a ladder", "goes down the ladder",
         "climbing down the rungs", "descends the ladder"),
        ("沿梯子往下爬", "走下梯子", "下梯子", "一级一级向下爬梯", "顺着梯子爬低"),
    ),
    "lying down": (
        ("lying down on the floor", "getting down on the floor to lie", "going from standing to lying",
         "lowering oneself to the floor", "stretching out on the ground", "lies down on the floor",
         "gets down on the ground", "lying down on the ground", "lowers the body to the floor"),
        ("躺到地上", "在地上躺下来", "从站立到躺下", "身体躺倒在地", "慢慢躺平"),
    ),
    "getting up from the floor": (
        ("getting up off the ground", "rising from the floor", "going from lying to standing",
         "standing up from the ground", "raising oneself from the floor", "gets up from the ground",
         "rises off the floor", "getting up off the floor", "stands up from the floor"),
        ("从地上站起来", "从地上起来", "从躺着到站立", "从地面爬起身", "躺着爬起来"),
    ),
    "putting on a hat": (
        ("placing a hat on the head", "putting a hat on", "donning a hat", "setting a hat on one's head",
         "moving a hat from the hand to the head", "puts on a hat", "places the hat on the head",
         "putting the hat onto the head", "puts a hat on the head"),
        ("把帽子戴到头上", "戴帽子", "将帽子戴好", "往头上戴帽子", "把手里的帽子扣在头上"),
    ),
    "taking off a hat": (
        ("lifting a hat off the head", "taking a hat off", "removing a hat", "pulling a hat from one's head",
         "moving a hat from the head to the hand", "takes off a hat", "removes the hat from the head",
         "taking the hat off the head", "lifts a hat off the head"),
        ("把帽子从头上拿下来", "脱帽", "将帽子取下", "从头上摘帽子", "把头上的帽子拿到手里"),
    ),
    "doing jumping jacks": (
        ("jumping with arms and legs spread", "exercising with jumping jacks", "performing star jumps",
         "jumping while swinging the arms overhead", "jumping jacks as an exercise", "does jumping jacks",
         "performs star jumps", "performing jumping jacks", "jumps with arms and legs spread"),
        ("练开合跳", "跳开合跳", "张开手脚反复跳", "手脚一开一合地跳"),
    ),
    "marching in place": (
        ("marching on the spot", "stepping in place", "lifting the knees in turn without moving ahead",
         "walking on the spot with high knees", "marching without moving away", "marches in place",
         "steps on the spot", "stepping on the spot", "marches on the spot"),
        ("在原地踏步走", "原地迈步", "原地高抬腿走", "站在原地踏脚"),
    ),
    "punching": (
        ("boxing", "throwing punches", "hitting the air with the fists", "striking with the fists", "shadow boxing",
         "throws punches", "boxes with the fists", "punching with the fists", "strikes with the fists"),
        ("挥拳", "打拳", "用拳头击打", "练拳击", "连续出拳"),
    ),
    "kicking": (
        ("kicking with a leg", "giving a kick", "kicking into the air", "swinging a leg forwards to kick",
         "practising kicks", "kicks with a leg", "kicks into the air", "kicking with the leg", "gives a kick"),
        ("踢腿练习", "用腿踢", "抬腿踢出去", "向前踢一脚"),
    ),
    "jumping rope": (
        ("skipping rope", "jumping over a rope", "skipping with a rope", "hopping over a swinging rope",
         "exercising with a skipping rope", "jumps rope", "skips with a rope",
         "jumping over a swinging rope", "skips over a rope"),
        ("用绳子跳绳", "甩绳跳", "跳过摆动的绳子", "练习跳绳"),
    ),
    "lying on the floor": (
        ("resting on the floor", "lying flat on the back", "staying stretched out on the floor",
         "lying still on the ground", "being on the floor face up", "lies on the floor", "rests flat on the ground",
         "resting flat on the floor", "lies still on the back"),
        ("平躺在地面", "仰面躺着不动", "躺在地面上休息", "一直躺在地上"),
    ),
    "playing the guitar": (
        ("strumming a guitar", "making music on a guitar", "playing music with a guitar", "plucking guitar strings",
         "performing on the guitar", "plays the guitar", "strums a guitar",
         "playing a song on the guitar", "plays music on a guitar"),
        ("演奏吉他", "抱着吉他弹奏", "拨吉他弦", "用吉他弹曲子"),
    ),
    "sitting cross-legged": (
        ("sitting with crossed legs", "sitting on the floor with the legs crossed", "sitting in the lotus position",
         "resting cross-legged on the floor", "staying seated with crossed legs", "sits cross-legged",
         "sits with the legs crossed", "sitting cross-legged on the floor", "sits on the floor with crossed legs"),
        ("盘着腿坐", "盘腿坐在地上", "打坐", "双腿交叉坐在地上"),
    ),
    "handing over an object": (
        ("giving something to somebody", "passing an object to another person", "handing somebody something",
         "exchanging an object between two people", "passing on an object", "hands over an object",
         "gives an object to somebody", "passing something to somebody", "hands something to another person"),
        ("把东西递给别人", "递交东西", "把东西交给另一个人", "传递东西", "两个人交接东西"),
    ),
    "giving a high five": (
        ("slapping hands with somebody", "doing a high five", "clapping hands with another person up high",
         "high-fiving somebody", "greeting somebody with a high five", "gives a high five",
         "high-fives another person", "doing a high five with somebody", "slaps hands with somebody"),
        ("和别人击掌", "两个人击掌", "举手互相击掌", "与对方击掌庆祝"),
    ),
    "pushing somebody": (
        ("shoving somebody", "pushing another person", "giving somebody a push", "shoving another person away",
         "pushing a person with both hands", "pushes somebody", "shoves another person",
         "shoving a person away", "gives another person a push"),
        ("推搡别人", "推另一个人", "用双手推人", "把别人推开"),
    ),
    "hugging": (
        ("hugging somebody", "embracing another person", "giving a hug", "holding somebody in both arms",
         "sharing an embrace", "hugs somebody", "embraces another person", "giving somebody a hug",
         "hugs another person"),
        ("抱住别人", "和别人拥抱", "两个人拥抱在一起", "互相搂抱"),
    ),
}
# fmt: on
